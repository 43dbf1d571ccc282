package main

import (
	"bytes"
	"encoding/hex"
	"net"
	"strconv"
	"time"
	_ "unsafe" // for go:linkname

	"github.com/hashicorp/memberlist"
)

// A user message that begins so is for its recipient alone; all others are passed on once, as
// Alertmanager does, unless this is switched off.
var direct = []byte("direct")

// The user messages known at a time at most; then they are forgotten.
const knownMax = 100_000

type broadcast []byte

func (b broadcast) Invalidates(memberlist.Broadcast) bool { return false }
func (b broadcast) Message() []byte                       { return b }
func (b broadcast) Finished()                             {}

func (p *peer) members() int {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.list == nil {
		return 1
	}
	return p.list.NumMembers()
}

func (p *peer) isNew(message []byte) bool {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.known[string(message)] {
		return false
	}
	if len(p.known) >= knownMax {
		p.known = map[string]bool{}
	}
	p.known[string(message)] = true
	return true
}

// ── What memberlist asks ──────────────────────────────────────────────────────────────────────────

func (p *peer) NodeMeta(int) []byte {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return bytes.Clone(p.meta)
}

func (p *peer) GetBroadcasts(overhead, limit int) [][]byte {
	return p.queue.GetBroadcasts(overhead, limit)
}

func (p *peer) LocalState(bool) []byte {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return bytes.Clone(p.state)
}

func (p *peer) AckPayload() []byte { return nil }

// ── What memberlist tells ─────────────────────────────────────────────────────────────────────────

func (p *peer) NotifyMsg(message []byte) {
	p.say("message", fields{"payload", hex.EncodeToString(message)})
	if p.relays && !bytes.HasPrefix(message, direct) && p.isNew(message) {
		p.queue.QueueBroadcast(broadcast(bytes.Clone(message)))
	}
}

func (p *peer) MergeRemoteState(state []byte, join bool) {
	p.say("peer-state", fields{"payload", hex.EncodeToString(state), "join", strconv.FormatBool(join)})
}

func (p *peer) NotifyJoin(node *memberlist.Node)   { p.sayNode("join", node) }
func (p *peer) NotifyUpdate(node *memberlist.Node) { p.sayNode("update", node) }

// It is gone, dead or left: memberlist does not say which.
func (p *peer) NotifyLeave(node *memberlist.Node) { p.sayNode("gone", node) }

func (p *peer) NotifyConflict(existing, _ *memberlist.Node) { p.sayNode("conflict", existing) }

func (p *peer) NotifyPingComplete(other *memberlist.Node, rtt time.Duration, payload []byte) {
	p.say("ping", fields{"name", other.Name, "micros", strconv.FormatInt(rtt.Microseconds(), 10),
		"payload", hex.EncodeToString(payload)})
}

func (p *peer) sayNode(event string, node *memberlist.Node) {
	addr := net.JoinHostPort(node.Addr.String(), strconv.Itoa(int(node.Port)))
	vsn := []byte{node.PMin, node.PMax, node.PCur, node.DMin, node.DMax, node.DCur}
	p.say(event, fields{"name", node.Name, "addr", addr, "meta", hex.EncodeToString(node.Meta),
		"vsn", hex.EncodeToString(vsn)})
}

// memberlist shows live members only; its own tests look here.
//
//go:linkname getNodeState github.com/hashicorp/memberlist.(*Memberlist).getNodeState
func getNodeState(list *memberlist.Memberlist, name string) memberlist.NodeStateType

func (p *peer) stateOf(name string) (state string) {
	defer func() {
		if recover() != nil {
			state = "unknown"
		}
	}()
	return [...]string{"alive", "suspect", "dead", "left"}[getNodeState(p.list, name)]
}
