//go:build !oldest

package main

import "github.com/hashicorp/memberlist"

func setLabel(conf *memberlist.Config, label string) error {
	conf.Label = label
	return nil
}

func splitLabel(packet []byte) ([]byte, string, error) {
	return memberlist.RemoveLabelHeaderFromPacket(packet)
}
