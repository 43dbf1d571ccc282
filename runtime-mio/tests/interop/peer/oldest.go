//go:build oldest

package main

import (
	"errors"

	"github.com/hashicorp/memberlist"
)

func setLabel(_ *memberlist.Config, label string) error {
	if label != "" {
		return errors.New("this version knows no labels")
	}
	return nil
}

func splitLabel(packet []byte) ([]byte, string, error) {
	return packet, "", nil
}
