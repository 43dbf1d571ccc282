// A member of a memberlist cluster that obeys lines on its standard input and says what it hears as
// JSON lines on its standard output. The peer in ../../../examples/peer.rs speaks the same lines.
//
// The same source is built against two versions of memberlist: go.mod has the newest, and
// `go build -modfile=v0.2.2.mod -tags oldest` takes the oldest one that is still in the field.
//
//	join ADDR...                    exchange states with these members
//	leave                           say goodbye, and go on running
//	meta HEX                        change what others see about this member
//	state HEX                       change the state that rides in push/pulls
//	broadcast HEX                   tell everybody
//	send NAME best-effort|reliable HEX
//	members                         all live members
//	state-of NAME                   what this member thinks of another: alive, suspect, dead, left
//	key install|use|remove HEX, key list
//	quit
//
// Other modes: `peer decode` reads datagrams and prints what was decoded (decode.go), `peer
// capture DIR` lets some members talk and keeps one of each kind of what they sent (capture.go).
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

func main() {
	var err error
	switch {
	case len(os.Args) > 1 && os.Args[1] == "decode":
		err = decodeAll(os.Args[2:])
	case len(os.Args) > 1 && os.Args[1] == "capture":
		err = capture(os.Args[2:])
	default:
		err = run(os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

// What the command line says.
type options struct {
	name, bind, label, profile, delegate, keys, meta, state string
	compression, relay                                      string
	protocol, suspicionMult                                 int

	probeInterval, probeTimeout, gossipInterval, pushPull time.Duration
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("peer", flag.ContinueOnError)
	flags.StringVar(&o.name, "name", "go", "unique in the cluster")
	flags.StringVar(&o.bind, "bind", "127.0.0.1:0", "address to listen on")
	flags.StringVar(&o.label, "label", "", "name of the cluster")
	flags.StringVar(&o.profile, "profile", "lan", "lan, wan or local")
	flags.StringVar(&o.delegate, "delegate", "0,0,0", "min,max,current of the application's protocol")
	flags.StringVar(&o.keys, "keys", "", "hex, comma separated, primary first")
	flags.StringVar(&o.meta, "meta", "", "hex")
	flags.StringVar(&o.state, "state", "", "hex")
	flags.IntVar(&o.protocol, "protocol", 2, "memberlist protocol version")
	flags.IntVar(&o.suspicionMult, "suspicion-mult", 0, "0: the profile's")
	flags.StringVar(&o.compression, "compression", "off", "on or off")
	flags.StringVar(&o.relay, "relay", "on", "on or off: whether the broadcasts of others are passed on")
	flags.DurationVar(&o.probeInterval, "probe-interval", 0, "0: the profile's")
	flags.DurationVar(&o.probeTimeout, "probe-timeout", 0, "0: the profile's")
	flags.DurationVar(&o.gossipInterval, "gossip-interval", 0, "0: the profile's")
	flags.DurationVar(&o.pushPull, "push-pull", 0, "0: the profile's")
	return o, flags.Parse(args)
}

func (o options) config(p *peer) (*memberlist.Config, error) {
	conf, err := profile(o.profile)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(o.bind)
	if err != nil {
		return nil, err
	}
	conf.Name, conf.BindAddr = o.name, host
	if conf.BindPort, err = strconv.Atoi(port); err != nil {
		return nil, err
	}
	conf.AdvertisePort = conf.BindPort
	conf.ProtocolVersion = uint8(o.protocol)
	conf.EnableCompression = o.compression == "on"
	if _, err = fmt.Sscanf(o.delegate, "%d,%d,%d", &conf.DelegateProtocolMin,
		&conf.DelegateProtocolMax, &conf.DelegateProtocolVersion); err != nil {
		return nil, fmt.Errorf("--delegate: %w", err)
	}
	if o.suspicionMult > 0 {
		conf.SuspicionMult = o.suspicionMult
	}
	for _, knob := range []struct{ from, to *time.Duration }{
		{&o.probeInterval, &conf.ProbeInterval},
		{&o.probeTimeout, &conf.ProbeTimeout},
		{&o.gossipInterval, &conf.GossipInterval},
		{&o.pushPull, &conf.PushPullInterval},
	} {
		if *knob.from > 0 {
			*knob.to = *knob.from
		}
	}
	if err = setLabel(conf, o.label); err != nil {
		return nil, err
	}
	if o.keys != "" {
		if conf.Keyring, err = keyring(o.keys); err != nil {
			return nil, err
		}
	}
	conf.Delegate, conf.Events, conf.Conflict, conf.Ping = p, p, p, p
	conf.Logger = log.New(os.Stderr, "", log.Lmicroseconds)
	return conf, nil
}

func profile(name string) (*memberlist.Config, error) {
	switch name {
	case "lan":
		return memberlist.DefaultLANConfig(), nil
	case "wan":
		return memberlist.DefaultWANConfig(), nil
	case "local":
		return memberlist.DefaultLocalConfig(), nil
	}
	return nil, fmt.Errorf("no profile is called %q", name)
}

func keyring(list string) (*memberlist.Keyring, error) {
	var keys [][]byte
	for _, text := range strings.Split(list, ",") {
		key, err := hex.DecodeString(text)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return memberlist.NewKeyring(keys, keys[0])
}

func run(args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	p, err := start(o, os.Stdout, nil)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 0 {
			continue
		}
		if words[0] == "quit" {
			break
		}
		if err := p.obey(words); err != nil {
			p.say("error", fields{"command", words[0], "error", err.Error()})
		}
	}
	return p.list.Shutdown()
}

// Starts a member. A transport other than the usual one may be given.
func start(o options, out io.Writer, wrap func(*memberlist.NetTransport) memberlist.Transport) (*peer, error) {
	meta, err := hex.DecodeString(o.meta)
	if err != nil {
		return nil, err
	}
	state, err := hex.DecodeString(o.state)
	if err != nil {
		return nil, err
	}
	p := &peer{out: out, meta: meta, state: state, relays: o.relay != "off", known: map[string]bool{}}
	conf, err := o.config(p)
	if err != nil {
		return nil, err
	}
	if wrap != nil {
		inner, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{conf.BindAddr}, BindPort: conf.BindPort, Logger: conf.Logger,
		})
		if err != nil {
			return nil, err
		}
		conf.Transport = wrap(inner)
	}
	p.queue = &memberlist.TransmitLimitedQueue{NumNodes: p.members, RetransmitMult: conf.RetransmitMult}
	p.keyring = conf.Keyring
	list, err := memberlist.Create(conf)
	if err != nil {
		return nil, err
	}
	p.mutex.Lock()
	p.list = list
	p.mutex.Unlock()
	p.say("ready", fields{"name", o.name, "addr", p.addr()})
	return p, nil
}

func (p *peer) addr() string {
	me := p.list.LocalNode()
	return net.JoinHostPort(me.Addr.String(), strconv.Itoa(int(me.Port)))
}

func (p *peer) obey(words []string) error {
	const patience = 10 * time.Second
	args := words[1:]
	switch {
	case words[0] == "join":
		reached, err := p.list.Join(args)
		if reached > 0 {
			p.say("joined", fields{"reached", strconv.Itoa(reached)})
			return nil
		}
		return err
	case words[0] == "leave":
		if err := p.list.Leave(patience); err != nil {
			return err
		}
		p.say("left-self", nil)
		return nil
	case words[0] == "meta" && len(args) <= 1:
		meta, err := payload(args)
		if err != nil {
			return err
		}
		p.mutex.Lock()
		p.meta = meta
		p.mutex.Unlock()
		return p.list.UpdateNode(patience)
	case words[0] == "state" && len(args) <= 1:
		state, err := payload(args)
		p.mutex.Lock()
		p.state = state
		p.mutex.Unlock()
		return err
	case words[0] == "broadcast" && len(args) == 1:
		message, err := payload(args)
		if err == nil && p.isNew(message) {
			p.queue.QueueBroadcast(broadcast(message))
		}
		return err
	case words[0] == "send" && len(args) == 3:
		return p.send(args[0], args[1], args[2:])
	case words[0] == "members":
		for _, node := range p.list.Members() {
			p.sayNode("member", node)
		}
		p.say("members", fields{"count", strconv.Itoa(p.list.NumMembers())})
		return nil
	case words[0] == "state-of" && len(args) == 1:
		p.say("state-of", fields{"name", args[0], "state", p.stateOf(args[0])})
		return nil
	case words[0] == "key" && len(args) >= 1:
		return p.key(args[0], args[1:])
	}
	return fmt.Errorf("not understood: %s", strings.Join(words, " "))
}

func payload(args []string) ([]byte, error) {
	return hex.DecodeString(strings.Join(args, ""))
}

func (p *peer) send(name, how string, args []string) error {
	message, err := payload(args)
	if err != nil {
		return err
	}
	for _, node := range p.list.Members() {
		if node.Name != name {
			continue
		}
		if how == "reliable" {
			return p.list.SendReliable(node, message)
		}
		return p.list.SendBestEffort(node, message)
	}
	return fmt.Errorf("no member is called %s", name)
}

func (p *peer) key(verb string, args []string) error {
	if p.keyring == nil {
		return fmt.Errorf("started without a key")
	}
	key, err := payload(args)
	if err != nil {
		return err
	}
	switch verb {
	case "install":
		err = p.keyring.AddKey(key)
	case "use":
		err = p.keyring.UseKey(key)
	case "remove":
		err = p.keyring.RemoveKey(key)
	case "list":
	default:
		err = fmt.Errorf("not understood: key %s", verb)
	}
	if err != nil {
		return err
	}
	var keys []string
	for _, key := range p.keyring.GetKeys() {
		keys = append(keys, hex.EncodeToString(key))
	}
	p.say("keys", fields{"keys", strings.Join(keys, ",")})
	return nil
}

// Names and values in turn.
type fields []string

// Prints one line; members and their order are those given.
func (p *peer) say(event string, pairs fields) {
	var line strings.Builder
	text := func(s string) string {
		quoted, _ := json.Marshal(s)
		return string(quoted)
	}
	fmt.Fprintf(&line, `{"event":%s`, text(event))
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(&line, `,%s:%s`, text(pairs[i]), text(pairs[i+1]))
	}
	line.WriteString("}\n")
	p.printing.Lock()
	defer p.printing.Unlock()
	_, _ = io.WriteString(p.out, line.String())
}

// A member, as it looks to the application and to the network.
type peer struct {
	list    *memberlist.Memberlist
	queue   *memberlist.TransmitLimitedQueue
	keyring *memberlist.Keyring

	relays bool

	printing sync.Mutex
	out      io.Writer

	mutex sync.Mutex
	meta  []byte
	state []byte
	known map[string]bool
}
