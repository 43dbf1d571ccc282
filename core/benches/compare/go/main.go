// A member of hashicorp/memberlist that gets its packets from a pipe, to be measured.
//
// Orders come as lines, each is answered by one line of numbers:
//
//	run COUNT HEX   feed the packet COUNT times; nanoseconds and allocations until all is handled
//	settle HEX      feed the ping until its answer has no news on board; how many members are known
//	heap            bytes of live heap
package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"
)

// An ack without news is shorter than this.
const bareAckMax = 64

// Packets between two waits: their messages fit the handoff queue.
const batch = 16

// pipe is a transport without a network.
type pipe struct {
	packets chan *memberlist.Packet
	streams chan net.Conn
	sent    int
	lastLen int
}

func (p *pipe) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return net.IPv4(10, 0, 0, 0), 7946, nil
}

func (p *pipe) WriteTo(b []byte, _ string) (time.Time, error) {
	p.sent++
	p.lastLen = len(b)
	return time.Time{}, nil
}

func (p *pipe) WriteToAddress(b []byte, _ memberlist.Address) (time.Time, error) {
	return p.WriteTo(b, "")
}

func (p *pipe) PacketCh() <-chan *memberlist.Packet { return p.packets }

func (p *pipe) DialTimeout(string, time.Duration) (net.Conn, error) {
	return nil, errors.New("no network")
}

func (p *pipe) DialAddressTimeout(memberlist.Address, time.Duration) (net.Conn, error) {
	return nil, errors.New("no network")
}

func (p *pipe) StreamCh() <-chan net.Conn { return p.streams }

func (p *pipe) Shutdown() error { return nil }

// mailbox says when a user message has come. It waits in the queue that is emptied last, and the
// packets before it were taken in before it, so that by then everything has been handled.
type mailbox struct{ come chan struct{} }

func (m *mailbox) NodeMeta(int) []byte             { return nil }
func (m *mailbox) NotifyMsg([]byte)                { m.come <- struct{}{} }
func (m *mailbox) GetBroadcasts(int, int) [][]byte { return nil }
func (m *mailbox) LocalState(bool) []byte          { return nil }
func (m *mailbox) MergeRemoteState([]byte, bool)   {}

type peer struct {
	list *memberlist.Memberlist
	pipe *pipe
	mail *mailbox
	log  *bytes.Buffer
	from net.Addr
	last *memberlist.Packet
}

func newPeer() (*peer, error) {
	p := &peer{
		pipe: &pipe{packets: make(chan *memberlist.Packet, batch), streams: make(chan net.Conn)},
		mail: &mailbox{come: make(chan struct{}, 1)},
		log:  new(bytes.Buffer),
		from: &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 7946},
	}
	p.last = &memberlist.Packet{Buf: []byte{8}, From: p.from}
	config := memberlist.DefaultLANConfig()
	config.Name = "member-00000"
	config.Transport = p.pipe
	config.Delegate = p.mail
	config.LogOutput = p.log
	config.EnableCompression = false
	// Nothing by the clock: only packets are measured. News is told once.
	config.ProbeInterval, config.GossipInterval, config.PushPullInterval = 0, 0, 0
	config.RetransmitMult = 0
	// A batch of large packets fits.
	config.HandoffQueueDepth = 4096
	list, err := memberlist.Create(config)
	p.list = list
	return p, err
}

// feed hands in the packet so many times and waits until all has been handled.
func (p *peer) feed(count int, packet *memberlist.Packet) {
	for count > 0 {
		some := min(count, batch)
		for range some {
			p.pipe.packets <- packet
		}
		p.pipe.packets <- p.last
		<-p.mail.come
		count -= some
	}
}

func (p *peer) run(count int, packet *memberlist.Packet) string {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	p.feed(count, packet)
	elapsed := time.Since(start)
	runtime.ReadMemStats(&after)
	return fmt.Sprintln(elapsed.Nanoseconds(), after.Mallocs-before.Mallocs)
}

func (p *peer) settle(ping *memberlist.Packet) string {
	for {
		p.feed(1, ping)
		if p.pipe.lastLen < bareAckMax {
			return fmt.Sprintln(p.list.NumMembers())
		}
	}
}

func heap() string {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return fmt.Sprintln(stats.HeapAlloc)
}

func (p *peer) obey(words []string) (string, error) {
	switch words[0] {
	case "heap":
		return heap(), nil
	case "settle", "run":
		buf, err := hex.DecodeString(words[len(words)-1])
		if err != nil {
			return "", err
		}
		packet := &memberlist.Packet{Buf: buf, From: p.from}
		if words[0] == "settle" {
			return p.settle(packet), nil
		}
		count, err := strconv.Atoi(words[1])
		return p.run(count, packet), err
	default:
		return "", fmt.Errorf("no such order: %q", words[0])
	}
}

func main() {
	p, err := newPeer()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		answer, err := p.obey(strings.Fields(lines.Text()))
		// What it complains about would not be the work that is measured.
		if complaint := p.log.String(); err == nil && strings.Contains(complaint, "[WARN]") || strings.Contains(complaint, "[ERR]") {
			err = errors.New(complaint)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Print(answer)
	}
}
