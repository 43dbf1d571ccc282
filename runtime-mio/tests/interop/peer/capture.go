package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// `peer capture DIR` lets three members of one process talk about all that there is to talk about,
// in four ways (plain, compressed, encrypted, encrypted with a label), and keeps the first datagram
// and stream of each kind that they sent. `peer capture --join ADDR DIR` joins somebody else's
// cluster instead and keeps what it receives until its standard input ends.
//
// A file's name says which way, and which kinds of messages are inside.
func capture(args []string) error {
	var join string
	flags := flag.NewFlagSet("capture", flag.ContinueOnError)
	flags.StringVar(&join, "join", "", "address of a member of another cluster, of Serf's versions")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return fmt.Errorf("capture [--join ADDR] DIR")
	}
	log.SetOutput(io.Discard)
	if join != "" {
		return captureFrom(join, flags.Arg(0))
	}
	ways := []way{
		{name: "plain", flags: nil},
		{name: "packed", flags: []string{"--compression", "on"}},
		{name: "sealed", flags: []string{"--keys", captureKey}},
	}
	if err := setLabel(&memberlist.Config{}, captureLabel); err == nil {
		ways = append(ways, way{"labelled", []string{"--keys", captureKey, "--label", captureLabel}})
	}
	for _, way := range ways {
		if err := captureWay(way, flags.Arg(0)); err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
	}
	return nil
}

// The tests that read the files know these.
const (
	captureKey   = "000102030405060708090a0b0c0d0e0f"
	captureLabel = "blue"
)

type way struct {
	name  string
	flags []string
}

// ── What is recorded ──────────────────────────────────────────────────────────────────────────────

// It keeps one file of each kind.
type tape struct {
	way, folder, label string
	ring               *memberlist.Keyring

	mutex sync.Mutex
	kinds map[string]bool
	bytes map[string][]byte
}

func newTape(name, folder, keys, label string) (*tape, error) {
	t := &tape{way: name, folder: folder, label: label, kinds: map[string]bool{}, bytes: map[string][]byte{}}
	if keys != "" {
		var err error
		if t.ring, err = keyring(keys); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Names of message types, as far as files are named after them.
var names = [...]string{"ping", "indirect-ping", "ack", "suspect", "alive", "dead", "push-pull",
	"compound", "user", "compressed", "encrypted", "nack", "crc", "err"}

func (t *tape) packet(packet []byte) {
	var s sums
	text, err := s.decode(bytes.Clone(packet), t.ring)
	if err != nil {
		log.Println("not kept:", err)
		return
	}
	found := map[string]bool{}
	for _, name := range names {
		if strings.Contains(text, `["`+name+`"`) {
			found[name] = true
		}
	}
	var kinds []string
	for name := range found {
		kinds = append(kinds, name)
	}
	sort.Strings(kinds)
	name := strings.Join(kinds, "-")
	if strings.Count(text, `["`) > 1 {
		name = "compound-" + name
	}
	if strings.Contains(text, `"crc":true`) {
		name = "crc-" + name
	}
	if s.compressed > 0 {
		name = "compressed-" + name
	}
	t.keep(filepath.Join("packets", t.way+"-"+name), packet, kinds)
}

// One direction of a stream.
func (t *tape) stream(direction string, stream []byte) {
	if len(stream) == 0 {
		return
	}
	kind, err := t.streamKind(direction, stream)
	if err != nil || int(kind) >= len(names) {
		log.Println("not kept:", kind, err)
		return
	}
	name := direction + "-" + names[kind]
	t.keep(filepath.Join("streams", t.way+"-"+name), stream, []string{name})
}

// The type of the message under all layers.
func (t *tape) streamKind(direction string, stream []byte) (byte, error) {
	rest, label := stream, t.label
	if direction == "request" {
		var err error
		if rest, label, err = splitLabel(stream); err != nil {
			return 0, err
		}
	}
	if rest[0] == encrypt && t.ring != nil {
		aad := append(bytes.Clone(rest[:5]), label...)
		plain, err := decryptPayload(t.ring.GetKeys(), bytes.Clone(rest[5:]), aad)
		if err != nil {
			return 0, err
		}
		rest = plain
	}
	if rest[0] == compress {
		plain, err := decompressPayload(rest[1:])
		if err != nil {
			return 0, err
		}
		rest = plain
	}
	return rest[0], nil
}

func (t *tape) keep(name string, content []byte, kinds []string) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	for _, kind := range kinds {
		t.kinds[kind] = true
	}
	// Of equal kinds the shorter one is easier to look through.
	if known, found := t.bytes[name]; !found || len(content) < len(known) {
		t.bytes[name] = bytes.Clone(content)
	}
}

func (t *tape) has(kind string) bool {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.kinds[kind]
}

func (t *tape) write() error {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	for name, content := range t.bytes {
		path := filepath.Join(t.folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// ── How it is recorded ────────────────────────────────────────────────────────────────────────────

// A transport with a tape, whose wires can be cut.
type taped struct {
	*memberlist.NetTransport
	tape     *tape
	incoming bool
	packets  chan *memberlist.Packet
	streams  chan net.Conn

	mutex sync.Mutex
	cut   map[string]bool
}

func newTaped(inner *memberlist.NetTransport, tape *tape, incoming bool) *taped {
	t := &taped{NetTransport: inner, tape: tape, incoming: incoming, cut: map[string]bool{},
		packets: make(chan *memberlist.Packet), streams: make(chan net.Conn)}
	go func() {
		for packet := range inner.PacketCh() {
			if incoming {
				tape.packet(packet.Buf)
			}
			t.packets <- packet
		}
	}()
	go func() {
		for conn := range inner.StreamCh() {
			t.streams <- &tapedConn{Conn: conn, tape: tape, accepted: true, incoming: incoming}
		}
	}()
	return t
}

func (t *taped) PacketCh() <-chan *memberlist.Packet { return t.packets }
func (t *taped) StreamCh() <-chan net.Conn           { return t.streams }

func (t *taped) cutTo(addr string) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.cut[addr] = true
}

func (t *taped) isCut(addr string) bool {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.cut[addr]
}

func (t *taped) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

func (t *taped) WriteToAddress(b []byte, addr memberlist.Address) (time.Time, error) {
	if !t.incoming {
		t.tape.packet(b)
	}
	if t.isCut(addr.Addr) {
		return time.Now(), nil
	}
	return t.NetTransport.WriteToAddress(b, addr)
}

func (t *taped) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

func (t *taped) DialAddressTimeout(addr memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if t.isCut("tcp " + addr.Addr) {
		return nil, fmt.Errorf("the wire to %s is cut", addr.Addr)
	}
	conn, err := t.NetTransport.DialAddressTimeout(addr, timeout)
	if err != nil {
		return nil, err
	}
	return &tapedConn{Conn: conn, tape: t.tape, incoming: t.incoming}, nil
}

// A connection that remembers both directions until it is closed.
type tapedConn struct {
	net.Conn
	tape               *tape
	accepted, incoming bool
	once               sync.Once
	mutex              sync.Mutex
	read, written      []byte
}

func (c *tapedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mutex.Lock()
	c.read = append(c.read, b[:n]...)
	c.mutex.Unlock()
	return n, err
}

func (c *tapedConn) Write(b []byte) (int, error) {
	c.mutex.Lock()
	c.written = append(c.written, b...)
	c.mutex.Unlock()
	return c.Conn.Write(b)
}

func (c *tapedConn) Close() error {
	c.once.Do(func() {
		c.mutex.Lock()
		defer c.mutex.Unlock()
		switch {
		case c.accepted && c.incoming:
			c.tape.stream("request", c.read)
		case c.accepted:
		case c.incoming:
			c.tape.stream("answer", c.read)
		default:
			c.tape.stream("request", c.written)
			c.tape.stream("answer", c.read)
		}
	})
	return c.Conn.Close()
}

// ── What happens ──────────────────────────────────────────────────────────────────────────────────

const capturePatience = 60 * time.Second

func until(what string, reached func() bool) error {
	for start := time.Now(); !reached(); time.Sleep(20 * time.Millisecond) {
		if time.Since(start) > capturePatience {
			return fmt.Errorf("waited in vain for %s", what)
		}
	}
	return nil
}

type actor struct {
	*peer
	wire *taped
}

func captureWay(way way, folder string) error {
	o, err := parse(way.flags)
	if err != nil {
		return err
	}
	tape, err := newTape(way.name, folder, o.keys, o.label)
	if err != nil {
		return err
	}
	var actors []actor
	for _, name := range []string{"ada", "bob", "cy"} {
		one, err := newActor(tape, name, way.flags, false)
		if err != nil {
			return err
		}
		defer one.list.Shutdown()
		actors = append(actors, one)
	}
	if err := act(actors[0], actors[1], actors[2], tape); err != nil {
		return err
	}
	if way.name == "plain" {
		if err := refused(actors[0], tape); err != nil {
			return err
		}
	}
	return tape.write()
}

func newActor(tape *tape, name string, extra []string, incoming bool) (actor, error) {
	args := append([]string{"--name", name, "--probe-interval", "400ms", "--probe-timeout", "100ms",
		"--gossip-interval", "50ms", "--push-pull", "500ms", "--meta", "6d657461",
		"--state", strings.Repeat("ab", 200)}, extra...)
	o, err := parse(args)
	if err != nil {
		return actor{}, err
	}
	var wire *taped
	p, err := start(o, io.Discard, func(inner *memberlist.NetTransport) memberlist.Transport {
		wire = newTaped(inner, tape, incoming)
		return wire
	})
	return actor{p, wire}, err
}

func act(ada, bob, cy actor, tape *tape) error {
	for _, newcomer := range []actor{bob, cy} {
		if _, err := newcomer.list.Join([]string{ada.addr()}); err != nil {
			return err
		}
	}
	all := func() bool { return ada.members() == 3 && bob.members() == 3 && cy.members() == 3 }
	if err := until("all to know all", all); err != nil {
		return err
	}
	for _, line := range []string{"broadcast 6e657773", "meta 6d6f7265", "send bob best-effort 6869",
		"send bob reliable " + strings.Repeat("68", 300), "send bob reliable 6869"} {
		if err := ada.obey(strings.Fields(line)); err != nil {
			return err
		}
	}
	// Datagrams between two of them are lost: the third one helps, and so do streams.
	ada.wire.cutTo(cy.addr())
	cy.wire.cutTo(ada.addr())
	for _, kind := range []string{"user", "indirect-ping", "request-ping", "answer-ack"} {
		if err := until(kind, func() bool { return tape.has(kind) }); err != nil {
			return err
		}
	}
	// One is lost for all.
	for _, one := range []actor{ada, bob} {
		one.wire.cutTo(cy.addr())
		one.wire.cutTo("tcp " + cy.addr())
		cy.wire.cutTo(one.addr())
		cy.wire.cutTo("tcp " + one.addr())
	}
	for _, kind := range []string{"nack", "suspect", "dead"} {
		if err := until(kind, func() bool { return tape.has(kind) }); err != nil {
			return err
		}
	}
	if err := until("the end of one", func() bool { return ada.members() == 2 }); err != nil {
		return err
	}
	return bob.list.Leave(capturePatience)
}

// One with a key is told why it may not join those without.
func refused(ada actor, tape *tape) error {
	silent, err := newTape("", "", "", "")
	if err != nil {
		return err
	}
	stranger, err := newActor(silent, "stranger", []string{"--keys", captureKey}, true)
	if err != nil {
		return err
	}
	defer stranger.list.Shutdown()
	if _, err := stranger.list.Join([]string{ada.addr()}); err == nil {
		return fmt.Errorf("the stranger was let in")
	}
	for name, content := range silent.bytes {
		tape.keep(strings.Replace(name, "-answer", "plain-answer", 1), content, nil)
	}
	return nil
}

func captureFrom(seed, folder string) error {
	tape, err := newTape("plain", folder, "", "")
	if err != nil {
		return err
	}
	// Serf's states are Serf's own, and it would complain about ours.
	one, err := newActor(tape, "listener", []string{"--delegate", "2,5,4", "--state", "", "--meta", ""}, true)
	if err != nil {
		return err
	}
	defer one.list.Shutdown()
	if _, err := one.list.Join([]string{seed}); err != nil {
		return err
	}
	fmt.Println(one.addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return tape.write()
}
