package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"
	_ "unsafe" // for go:linkname

	"github.com/hashicorp/memberlist"
)

// `peer decode [--label TEXT] [--keys HEX,...]` reads datagrams as lines of hex digits. For each it
// prints what memberlist's own functions decode, layer by layer and field by field; and it gives
// each to a whole memberlist, which must find nothing to complain about and hand over the same user
// messages. The last line is a summary.
func decodeAll(args []string) error {
	var label, keys string
	flags := flag.NewFlagSet("decode", flag.ContinueOnError)
	flags.StringVar(&label, "label", "", "name of the cluster")
	flags.StringVar(&keys, "keys", "", "hex, comma separated, primary first")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var ring *memberlist.Keyring
	if keys != "" {
		var err error
		if ring, err = keyring(keys); err != nil {
			return err
		}
	}
	whole, err := newIngest(label, ring)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	var sums sums
	for {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			break
		}
		packet, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil {
			return err
		}
		// Decoders may change what they are given.
		text, err := sums.decode(bytes.Clone(packet), ring)
		if err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
		fmt.Fprintln(out, text)
		whole.take(packet, &sums)
	}
	whole.finish(&sums)
	fmt.Fprintf(out, `{"packets":%d,"compressed":%d,"users":%d,"errors":%d,"same-users":%t}`+"\n",
		sums.packets, sums.compressed, sums.users, whole.errors.Load(),
		whole.hash.Load() == sums.hash && whole.users.Load() == sums.users)
	return out.Flush()
}

// What was decoded so far.
type sums struct {
	packets, compressed int
	users               int64
	hash                uint64
}

// ── memberlist's own functions ────────────────────────────────────────────────────────────────────

//go:linkname decode github.com/hashicorp/memberlist.decode
func decode(buf []byte, out any) error

//go:linkname decryptPayload github.com/hashicorp/memberlist.decryptPayload
func decryptPayload(keys [][]byte, msg []byte, data []byte) ([]byte, error)

//go:linkname decompressPayload github.com/hashicorp/memberlist.decompressPayload
func decompressPayload(msg []byte) ([]byte, error)

//go:linkname decodeCompoundMessage github.com/hashicorp/memberlist.decodeCompoundMessage
func decodeCompoundMessage(buf []byte) (int, [][]byte, error)

//go:linkname ingestPacket github.com/hashicorp/memberlist.(*Memberlist).ingestPacket
func ingestPacket(list *memberlist.Memberlist, buf []byte, from net.Addr, at time.Time)

// ── Layer by layer ────────────────────────────────────────────────────────────────────────────────

const (
	ping = iota
	indirectPing
	ack
	suspect
	alive
	dead
	pushPull
	compound
	user
	compress
	encrypt
	nack
	hasCRC
)

func (s *sums) decode(packet []byte, ring *memberlist.Keyring) (string, error) {
	s.packets++
	buf, label, err := splitLabel(packet)
	if err != nil {
		return "", err
	}
	if ring != nil {
		if buf, err = decryptPayload(ring.GetKeys(), buf, []byte(label)); err != nil {
			return "", err
		}
	}
	checked := len(buf) >= 5 && buf[0] == hasCRC
	if checked {
		if binary.BigEndian.Uint32(buf[1:5]) != crc32.ChecksumIEEE(buf[5:]) {
			return "", errors.New("bad checksum")
		}
		buf = buf[5:]
	}
	if buf[0] == compress {
		s.compressed++
		if buf, err = decompressPayload(buf[1:]); err != nil {
			return "", err
		}
	}
	parts := [][]byte{buf}
	if buf[0] == compound {
		var cut int
		if cut, parts, err = decodeCompoundMessage(buf[1:]); err != nil || cut > 0 {
			return "", fmt.Errorf("compound: %d cut off, %w", cut, err)
		}
	}
	var text strings.Builder
	fmt.Fprintf(&text, `{"label":"%x","crc":%t,"parts":[`, label, checked)
	for i, part := range parts {
		if i > 0 {
			text.WriteByte(',')
		}
		words, err := s.part(part[0], part[1:])
		if err != nil {
			return "", err
		}
		text.WriteString(words)
	}
	text.WriteString("]}")
	return text.String(), nil
}

// Each struct has the fields of memberlist's, which are those of the wire.
func (s *sums) part(kind byte, body []byte) (string, error) {
	switch kind {
	case ping:
		var m struct {
			SeqNo      uint32
			Node       string
			SourceAddr []byte
			SourcePort uint16
			SourceNode string
		}
		err := decode(body, &m)
		return fmt.Sprintf(`["ping",%d,"%x","%x",%d,"%x"]`,
			m.SeqNo, m.Node, m.SourceAddr, m.SourcePort, m.SourceNode), err
	case indirectPing:
		var m struct {
			SeqNo      uint32
			Target     []byte
			Port       uint16
			Node       string
			Nack       bool
			SourceAddr []byte
			SourcePort uint16
			SourceNode string
		}
		err := decode(body, &m)
		return fmt.Sprintf(`["indirect-ping",%d,"%x",%d,"%x",%t,"%x",%d,"%x"]`, m.SeqNo, m.Target,
			m.Port, m.Node, m.Nack, m.SourceAddr, m.SourcePort, m.SourceNode), err
	case ack:
		var m struct {
			SeqNo   uint32
			Payload []byte
		}
		err := decode(body, &m)
		return fmt.Sprintf(`["ack",%d,"%x"]`, m.SeqNo, m.Payload), err
	case nack:
		var m struct{ SeqNo uint32 }
		err := decode(body, &m)
		return fmt.Sprintf(`["nack",%d]`, m.SeqNo), err
	case suspect, dead:
		var m struct {
			Incarnation uint32
			Node        string
			From        string
		}
		err := decode(body, &m)
		name := map[byte]string{suspect: "suspect", dead: "dead"}[kind]
		return fmt.Sprintf(`["%s",%d,"%x","%x"]`, name, m.Incarnation, m.Node, m.From), err
	case alive:
		var m struct {
			Incarnation uint32
			Node        string
			Addr        []byte
			Port        uint16
			Meta        []byte
			Vsn         []uint8
		}
		err := decode(body, &m)
		return fmt.Sprintf(`["alive",%d,"%x","%x",%d,"%x","%x"]`,
			m.Incarnation, m.Node, m.Addr, m.Port, m.Meta, m.Vsn), err
	case user:
		s.users++
		s.hash += hash(body)
		return fmt.Sprintf(`["user","%x"]`, body), nil
	}
	return "", fmt.Errorf("message type %d", kind)
}

func hash(bytes []byte) uint64 {
	sum := fnv.New64a()
	_, _ = sum.Write(bytes)
	return sum.Sum64()
}

// ── A whole memberlist ────────────────────────────────────────────────────────────────────────────

// It lives on no network and does nothing by itself.
type ingest struct {
	peer
	list   *memberlist.Memberlist
	errors atomic.Int64
	users  atomic.Int64
	hash   atomic.Uint64
}

func newIngest(label string, ring *memberlist.Keyring) (*ingest, error) {
	w := &ingest{}
	conf := memberlist.DefaultLANConfig()
	conf.Name = "me"
	conf.ProbeInterval, conf.GossipInterval, conf.PushPullInterval = 0, 0, 0
	conf.ProbeTimeout = 10 * time.Millisecond // that of relayed pings
	conf.HandoffQueueDepth = 1 << 30
	conf.Keyring, conf.Transport = ring, nowhere{}
	conf.Delegate, conf.Alive = w, w
	conf.Logger = log.New(w, "", 0)
	if err := setLabel(conf, label); err != nil {
		return nil, err
	}
	var err error
	w.list, err = memberlist.Create(conf)
	return w, err
}

func (w *ingest) take(packet []byte, s *sums) {
	ingestPacket(w.list, packet, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, time.Now())
	// Other goroutines work through its queues.
	for s.users-w.users.Load() > 1000 {
		time.Sleep(100 * time.Microsecond)
	}
}

func (w *ingest) finish(s *sums) {
	for round := 0; round < 1000 && w.users.Load() < s.users; round++ {
		time.Sleep(10 * time.Millisecond)
	}
}

func (w *ingest) NodeMeta(int) []byte             { return nil }
func (w *ingest) GetBroadcasts(int, int) [][]byte { return nil }

func (w *ingest) NotifyMsg(message []byte) {
	w.hash.Add(hash(message))
	w.users.Add(1)
}

// Members would be all that it ever does.
func (w *ingest) NotifyAlive(node *memberlist.Node) error {
	if node.Name == "me" {
		return nil
	}
	return errors.New("not wanted")
}

// What it logs: an error is a complaint about a datagram.
func (w *ingest) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("[ERR]")) {
		w.errors.Add(1)
		fmt.Fprintf(os.Stderr, "%s", line)
	}
	return len(line), nil
}

type nowhere struct{}

func (nowhere) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return net.IPv4(127, 0, 0, 1), 7946, nil
}
func (nowhere) WriteTo([]byte, string) (time.Time, error) { return time.Now(), nil }
func (nowhere) PacketCh() <-chan *memberlist.Packet       { return nil }
func (nowhere) StreamCh() <-chan net.Conn                 { return nil }
func (nowhere) Shutdown() error                           { return nil }
func (nowhere) DialTimeout(string, time.Duration) (net.Conn, error) {
	return nil, errors.New("there is no network")
}
