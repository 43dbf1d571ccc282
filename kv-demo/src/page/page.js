"use strict";
// Plays the replays of the page. What is on the screen follows from the place of the slider alone, so
// that playing, dragging and jumping show the same.
(() => {
  const UNKNOWN = -1;
  // In the place of a flight's time: it arrived nowhere.
  const LOST = -2;
  const RECEIPT_LEN = 4;
  const FLIGHT_LEN = 6;
  const REST_LEN = 3;
  const LINK_LEN = 3;
  const OUTAGE_LEN = 3;
  // Share of the timeline for which a copy's tail, and the wave around a new receiver, can be seen.
  const GLOW = 0.025;
  // On a logarithmic clock time is linear up to this part of the earliest receipt.
  const KNEE_PART = 4;
  // Smallest letters on the screen, in pixels, that can be read within a node.
  const LETTERS_MIN = 6;
  // Links that are drawn in full; more of them are drawn paler, or they would be one grey area.
  const FULL_LINKS_MAX = 400;
  // Radius of a node from which on lines have their full width.
  const FULL_RADIUS = 7;
  // Half of the width of a mark on a node, in the drawing's units, at least.
  const MARK_MIN = 3.5;
  // Names of a way that a tooltip has room for.
  const WAY_NAMES_MAX = 12;
  // Names of neighbours of each kind that a tooltip has room for.
  const NEIGHBOURS_MAX = 6;
  // Between two nodes' rims, in the drawing's units, from which on a straight line between them shows
  // its dashes, and a mark on it its direction.
  const GAP_MIN = 12;
  // Seconds between two frames for readers who asked for less motion.
  const CALM_FRAME = 0.4;
  const SVG = "http://www.w3.org/2000/svg";

  const film = JSON.parse(document.getElementById("data").textContent);
  const KINDS = film.kinds;
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const at = (id) => document.getElementById(id);

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    return furnish(made, attributes, children);
  }

  function drawn(name, attributes = {}, ...children) {
    const made = document.createElementNS(SVG, name);
    return furnish(made, attributes, children);
  }

  function furnish(made, attributes, children) {
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  // Microseconds as milliseconds with three digits, of whole ones all.
  function ms(us) {
    const value = us / 1000;
    if (value === 0) return "0 ms";
    const digits = value < 1 ? 3 : value < 10 ? 2 : value < 100 ? 1 : 0;
    return `${grouped(value.toFixed(digits))} ms`;
  }

  function grouped(number) {
    return String(number).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
  }

  function ordinal(number) {
    const tail = number % 100;
    const suffix = tail > 10 && tail < 14 ? "th" : ["th", "st", "nd", "rd"][number % 10] ?? "th";
    return `${grouped(number)}${suffix}`;
  }

  function counted(number, one, many) {
    return `${grouped(number)}\u00a0${number === 1 ? one : many}`;
  }

  // How many of the ascending `values` are at most `limit`.
  function countUpTo(values, limit) {
    let low = 0;
    let high = values.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (values[middle] <= limit) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // A run, unpacked.
  class Run {
    constructor(packed, nodes) {
      this.title = packed.title;
      this.mode = packed.mode;
      this.repeat = packed.repeat;
      this.message = packed.message;
      this.drawn = packed.drawn;
      this.told = packed.told;
      this.unreached = packed.unreached;
      this.creator = packed.creator;
      this.flightTime = packed.flight_us;
      this.names = Array.from({ length: nodes }, (_, node) => packed.names[node] ?? `Node${node + 1}`);
      this.readReceipts(packed.receipts, nodes);
      this.readFlights(packed.flights);
      this.readLinks(packed.links, nodes);
      this.readOutages(packed.outages, packed.cuts);
      this.rest = [];
      for (let i = 0; i < packed.rest.length; i += REST_LEN) {
        const [time, datagrams, copies] = packed.rest.slice(i, i + REST_LEN);
        this.rest.push({ time, datagrams, copies });
      }
      this.restTimes = this.rest.map((step) => step.time);
    }

    readReceipts(numbers, nodes) {
      this.receipts = [];
      this.receiptOf = new Array(nodes).fill(null);
      for (let i = 0; i < numbers.length; i += RECEIPT_LEN) {
        const [node, time, from, hop] = numbers.slice(i, i + RECEIPT_LEN);
        const receipt = { node, time, from, hop, place: this.receipts.length + 2 };
        this.receipts.push(receipt);
        this.receiptOf[node] = receipt;
      }
      this.receiptTimes = this.receipts.map((receipt) => receipt.time);
    }

    readFlights(numbers) {
      this.flights = [];
      this.flightInto = new Map();
      // What had left after each flight: datagrams with copies, copies, ids and requests.
      this.sums = [];
      let time = 0;
      let sum = { datagrams: 0, copies: 0, ids: 0, wish: 0 };
      for (let i = 0; i < numbers.length; i += FLIGHT_LEN) {
        const [wait, from, to, place, copies, travel] = numbers.slice(i, i + FLIGHT_LEN);
        time += wait;
        const kind = KINDS[place];
        const infects = travel >= 0;
        const flight = { time, from, to, kind, copies, infects, isLost: travel === LOST };
        flight.lands = time + (infects ? travel : this.flightTime);
        this.flights.push(flight);
        if (infects) this.flightInto.set(to, flight);
        sum = { ...sum, datagrams: sum.datagrams + (copies > 0 ? 1 : 0), copies: sum.copies + copies };
        if (kind in sum) sum[kind]++;
        this.sums.push(sum);
      }
      this.flightTimes = this.flights.map((flight) => flight.time);
    }

    readLinks({ numbers, all }, nodes) {
      this.linksInAll = all;
      this.links = [];
      this.linksOf = Array.from({ length: nodes }, () => []);
      for (let i = 0; i < numbers.length; i += LINK_LEN) {
        const [a, b, use] = numbers.slice(i, i + LINK_LEN);
        const link = { a, b, use: film.uses[use] };
        this.links.push(link);
        for (const end of [a, b]) this.linksOf[end].push(link);
      }
      // Whether this run's links are told apart at all.
      this.tellsLinks = this.links.length > 0;
    }

    readOutages(numbers, cuts) {
      this.outages = [];
      for (let i = 0; i < numbers.length; i += OUTAGE_LEN) {
        const [node, from, until] = numbers.slice(i, i + OUTAGE_LEN);
        this.outages.push({ node, from, until: until === UNKNOWN ? Infinity : until });
      }
      this.cuts = cuts.map(({ at, parts, off, by }) => {
        const nodes = new Set();
        for (let i = 0; i < off.length; i += 2) for (let node = off[i]; node <= off[i + 1]; node++) nodes.add(node);
        return { at, parts, off: nodes, by: new Set(by) };
      });
      // When somebody dies or comes back.
      const edges = this.outages.flatMap(({ from, until }) => [from, until]);
      this.turningPoints = [...edges, ...this.cuts.map((cut) => cut.at)].sort((a, b) => a - b);
    }

    outageOf(node, time) {
      return this.outages.find((outage) => outage.node === node && outage.from <= time && time < outage.until);
    }

    downAt(time) {
      const down = this.outages.filter(({ from, until }) => from <= time && time < until);
      return new Set(down.map((outage) => outage.node));
    }

    cutAt(time) {
      return this.cuts.findLast((cut) => cut.at <= time) ?? { parts: 1, off: new Set(), by: new Set() };
    }

    // The last request of a node that the sender of its copy heard before.
    wishFor({ node, from, time }) {
      const isIt = (flight) => flight.kind === "wish" && flight.from === node && flight.to === from;
      return this.flights.findLast((flight) => isIt(flight) && flight.time <= time) ?? null;
    }

    get last() {
      return this.receiptTimes.at(-1) ?? null;
    }

    // Datagrams and copies that had left by then, those that are not drawn included.
    sentBy(time) {
      const flights = countUpTo(this.flightTimes, time);
      const steps = countUpTo(this.restTimes, time);
      const rest = steps > 0 ? this.rest[steps - 1] : { datagrams: 0, copies: 0 };
      const sum = flights > 0 ? this.sums[flights - 1] : { datagrams: 0, copies: 0, ids: 0, wish: 0 };
      return { ...sum, datagrams: sum.datagrams + rest.datagrams, copies: sum.copies + rest.copies };
    }

    // The nodes from `node` back to the creator, as far as the trace tells.
    wayBack(node) {
      const way = [node];
      let receipt = this.receiptOf[node];
      // Clocks that are off can make a circle; no way is longer than there are nodes.
      while (receipt && receipt.from !== UNKNOWN && way.length <= this.names.length) {
        way.push(receipt.from);
        receipt = this.receiptOf[receipt.from];
      }
      return way;
    }
  }

  // Times on one side, shares of the slider's way on the other.
  class Clock {
    constructor(end, scale, knee) {
      this.end = end;
      this.scale = scale;
      this.knee = knee;
      this.reach = Math.log1p(end / knee);
    }

    share(time) {
      return this.scale === "log" ? Math.log1p(time / this.knee) / this.reach : time / this.end;
    }

    time(share) {
      // The end is the end to the microsecond, whatever logarithms make of it.
      if (share >= 1) return this.end;
      return this.scale === "log" ? this.knee * Math.expm1(share * this.reach) : share * this.end;
    }

    ticks() {
      const times = [0];
      if (this.scale === "log") {
        for (let time = 1; time <= this.end; time *= 10) if (time >= this.knee) times.push(time);
      } else {
        const steps = [1, 2, 5].flatMap((step) => Array.from({ length: 12 }, (_, i) => step * 10 ** i));
        const step = Math.min(...steps.filter((candidate) => this.end / candidate <= 8));
        for (let time = step; time <= this.end; time += step) times.push(time);
      }
      return times;
    }
  }

  // How far the middle of a curve is pulled from the straight line; it follows by half. There and
  // back must not lie on each other; on a bus all ways lie on one line; and where nodes stand shoulder
  // to shoulder, a copy must pass over them to be seen.
  function pull({ shape, radius }, length) {
    if (shape === "hypercube") return Math.min(length * 0.1, 26);
    const over = 2 * (radius + 4);
    return shape === "bus" ? Math.max(over, Math.min(length * 0.5, 110)) : Math.max(over, Math.min(length * 0.1, 26));
  }

  // The shape of a head that flies along the x axis: of copies a closed one, of words a small open one.
  const HEADS = {
    tick: (context, size) => context.arc(0, 0, size, 0, 2 * Math.PI),
    now: (context, size) => polygon(context, [[size, 0], [-size, size], [-size, -size]]),
    ride: (context, size) => context.rect(-size, -size, 2 * size, 2 * size),
    repair: (context, size) => polygon(context, [[1.5 * size, 0], [0, 1.2 * size], [-1.5 * size, 0], [0, -1.2 * size]]),
    ids: (context, size) => context.arc(0, 0, 0.7 * size, 0, 2 * Math.PI),
    wish: (context, size) => line(context, [[-size, -size], [size, 0], [-size, size]]),
    control: (context, size) => line(context, [[0, -1.3 * size], [0, 1.3 * size]]),
    lost: (context, size) => {
      line(context, [[-size, -size], [size, size]]);
      line(context, [[-size, size], [size, -size]]);
    },
  };
  const OPEN_HEADS = ["wish", "control", "lost"];
  const TRAILS = { ride: [3, 3], ids: [1, 3], wish: [6, 3], control: [6, 2, 1, 2] };

  function line(context, points) {
    points.forEach(([x, y], i) => (i === 0 ? context.moveTo(x, y) : context.lineTo(x, y)));
  }

  function polygon(context, points) {
    line(context, points);
    context.closePath();
  }

  function curve({ from, over, to }) {
    return `M${from.x} ${from.y}Q${over.x} ${over.y} ${to.x} ${to.y}`;
  }

  // A network's drawing with one run on it.
  class Panel {
    constructor(network, run) {
      this.network = network;
      this.run = run;
      this.nodes = network.places.length / 2;
      this.shown = 0;
      // How many turning points of the run have passed: none yet, not even those before its creation.
      this.turned = -1;
      const digits = String(this.nodes).length;
      this.letters = Math.min(network.radius * 1.08, (network.radius * 2.7) / digits, 13);
      this.fine = Math.min(1, Math.max(0.25, network.radius / FULL_RADIUS));
      this.element = this.build();
      this.context = this.canvas.getContext("2d");
      this.readColors();
      this.observer = new ResizeObserver(() => this.resize());
      this.observer.observe(this.stage);
    }

    place(node) {
      return { x: this.network.places[2 * node], y: this.network.places[2 * node + 1] };
    }

    build() {
      const { width, height } = this.network;
      const box = { viewBox: `0 0 ${width} ${height}` };
      this.state = element("span", { class: "state" });
      const line = drawn("line", { x1: 1, y1: 5, x2: 33, y2: 5 });
      const swatch = drawn("svg", { class: "swatch", viewBox: "0 0 34 10", "aria-hidden": "true" }, line);
      const title = element("h3", {}, swatch, this.run.title);
      this.canvas = element("canvas", { "aria-hidden": "true" });
      this.ways = ["way edge", "way"].map((name) => drawn("path", { class: name }));
      this.discs = Array.from({ length: this.nodes }, (_, node) => this.buildNode(node));
      const role = { role: "group", "aria-label": `nodes, ${this.run.title}` };
      this.over = drawn("svg", { ...box, ...role, style: `--fine: ${this.fine}` });
      this.over.append(...this.ways, ...this.discs);
      this.stage = element("div", { class: "stage" }, this.buildLinks(box), this.canvas, this.over);
      // The drawing keeps its proportions, and of two rows as much as is legible fits on a screen.
      const room = this.network.shape === "bus" ? "" : `, max(320px, 55vh - 130px) * ${width / height}`;
      this.stage.style.width = `min(100%, ${width * 1.15}px${room})`;
      this.stage.style.aspectRatio = `${width} / ${height}`;
      const top = element("div", { class: "top" }, title, this.state);
      const note = element("p", { class: "note" }, this.note());
      const attributes = { class: `panel ${this.run.mode}`, "data-mode": this.run.mode, "data-nodes": this.nodes };
      if (this.run.tellsLinks) attributes["data-tells"] = "links";
      return element("section", attributes, top, this.stage, note);
    }

    // Links below, the rumour's way upon them.
    buildLinks(box) {
      const uses = ["idle", ...film.uses, "lost"];
      this.linkPaths = new Map(uses.map((use) => [use, drawn("path", { class: `link ${use}` })]));
      this.twigPaths = ["twig edge", "twig", "twig asked"].map((name) => drawn("path", { class: name }));
      const { links } = this.network;
      const used = new Set(this.run.links.map(({ a, b }) => a * this.nodes + b));
      this.links = [...this.run.links];
      for (let i = 0; i < links.length; i += 2) {
        const [a, b] = [links[i], links[i + 1]];
        if (!used.has(a * this.nodes + b)) this.links.push({ a, b, use: "idle" });
      }
      this.listed = new Set();
      for (const { a, b, use } of this.links) if (!use.startsWith("floor")) this.listed.add(a * this.nodes + b);
      this.twigs = this.run.tellsLinks ? this.run.receipts.map((receipt) => this.twig(receipt)) : [];
      const attributes = { ...box, "aria-hidden": "true", style: `--fine: ${this.fine}` };
      return drawn("svg", attributes, ...this.linkPaths.values(), ...this.twigPaths);
    }

    // Where a link is drawn: the same for both directions.
    linkWay(one, other) {
      const [from, to] = [Math.min(one, other), Math.max(one, other)];
      const [a, b] = [this.place(from), this.place(to)];
      const gap = Math.hypot(b.x - a.x, b.y - a.y) - 2 * this.network.radius;
      const isStraight = this.listed.has(from * this.nodes + to) && (gap >= GAP_MIN || !this.run.tellsLinks);
      if (!isStraight) return this.wayOf({ from, to }, 0, 1);
      return { from: a, over: { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 }, to: b };
    }

    // A piece of the rumour's way: a link, and a mark upon it that points to who received.
    twig({ node, from }) {
      if (from === UNKNOWN) return { path: "", isAsked: false };
      const way = this.linkWay(from, node);
      const middle = { x: (way.from.x + 2 * way.over.x + way.to.x) / 4, y: (way.from.y + 2 * way.over.y + way.to.y) / 4 };
      const turn = from < node ? 1 : -1;
      const length = Math.hypot(way.to.x - way.from.x, way.to.y - way.from.y) || 1;
      const [dx, dy] = [(turn * (way.to.x - way.from.x)) / length, (turn * (way.to.y - way.from.y)) / length];
      const size = Math.min(6, length / 4, this.network.radius * 0.7);
      const tip = `${middle.x + size * dx} ${middle.y + size * dy}`;
      const wing = (side) => `${middle.x - size * (dx - side * dy)} ${middle.y - size * (dy + side * dx)}`;
      const mark = size < 2 ? "" : `M${wing(1)}L${tip}L${wing(-1)}`;
      return { path: curve(way) + mark, isAsked: this.run.flightInto.get(node)?.kind === "repair" };
    }

    // Each link as what it did, or as lost while one of its ends is down.
    drawLinks(down) {
      const paths = new Map([...this.linkPaths.keys()].map((use) => [use, []]));
      for (const { a, b, use } of this.links) {
        paths.get(down.has(a) || down.has(b) ? "lost" : use).push(curve(this.linkWay(a, b)));
      }
      for (const [use, path] of this.linkPaths) {
        const parts = paths.get(use);
        path.setAttribute("d", parts.join(""));
        path.setAttribute("stroke-opacity", Math.max(0.12, Math.min(1, FULL_LINKS_MAX / parts.length)));
      }
    }

    drawTwigs() {
      const grown = this.twigs.slice(0, this.shown);
      const path = (twigs) => twigs.map((twig) => twig.path).join("");
      const [edge, pushed, asked] = this.twigPaths;
      edge.setAttribute("d", path(grown));
      pushed.setAttribute("d", path(grown.filter((twig) => !twig.isAsked)));
      asked.setAttribute("d", path(grown.filter((twig) => twig.isAsked)));
    }

    buildNode(node) {
      const { x, y } = this.place(node);
      const { radius } = this.network;
      const group = drawn("g", {
        class: node === this.run.creator ? "node has" : "node",
        "data-node": node,
        role: "img",
        // One stop for Tab; within the panel, arrow keys move.
        tabindex: node === this.run.creator ? 0 : -1,
        "aria-label": this.tell(node, Infinity).join(", "),
      });
      group.append(drawn("circle", { class: "disc", cx: x, cy: y, r: radius }));
      if (node === this.run.creator) {
        const reach = radius + Math.min(2.6, radius * 0.3);
        group.append(drawn("circle", { class: "ring", cx: x, cy: y, r: reach }));
      }
      group.append(drawn("text", { x, y, "font-size": this.letters }, String(node + 1)));
      if (this.run.outages.some((outage) => outage.node === node)) {
        // Of the smallest nodes, too, the dead can be seen.
        const arm = Math.max(radius * 0.95, MARK_MIN);
        const cross = `M${x - arm} ${y - arm}L${x + arm} ${y + arm}M${x - arm} ${y + arm}L${x + arm} ${y - arm}`;
        group.append(drawn("path", { class: "cross", d: cross }));
        group.append(drawn("circle", { class: "rift", cx: x, cy: y, r: Math.max(radius + Math.min(3.4, radius * 0.4), 1.5 * MARK_MIN) }));
      }
      return group;
    }

    note() {
      const { drawn: [shown, all], unreached } = this.run;
      const notes = [this.whichRun()];
      if (all === 0) notes.push("Its trace tells of no copies.");
      else if (shown === 0) notes.push("Its trace does not tell whom copies went to: none is drawn.");
      else notes.push(`${this.drawnOf(shown, all)} datagrams until the end of the replay are drawn.`);
      if (this.run.tellsLinks) notes.push(...this.noteOnLinks());
      if (unreached) notes.push(`Not reached: ${unreached}.`);
      return notes.join(" ");
    }

    drawnOf(shown, all) {
      return shown < all ? `${grouped(shown)} of ${grouped(all)}` : `All ${grouped(all)}`;
    }

    whichRun() {
      const { repeat: [repeat, repeats], message: [message, messages], outages } = this.run;
      const isAfterDeaths = messages > 1 && message === 1 && outages.some(({ from, until }) => from <= 0 && until === Infinity);
      const run = repeats > 1 ? `Run ${repeat} of ${repeats}` : "The only run";
      const which = messages > 1 ? `, message ${message} of ${messages}` : "";
      const why = isAfterDeaths ? ", the first after deaths" : "";
      const isMedian = repeats > 1 || (messages > 1 && !isAfterDeaths);
      return `${run}${which}${why}${isMedian ? ", the median one" : ""}.`;
    }

    noteOnLinks() {
      const { flights, told: [shown, all], links, linksInAll } = this.run;
      const count = (use) => links.filter((link) => link.use === use).length;
      const [payload, asked, ids] = ["eager", "asked", "lazy"].map((use) => [count(use), count(`floor ${use}`)]);
      const kind = (name, [listed, floor]) => `${name} ${grouped(listed)}${floor > 0 ? ` and ${grouped(floor)} of the floor` : ""}`;
      const kinds = [kind("payload", payload), kind("ids alone", ids), kind("payload on request", asked)];
      const copies = flights.filter((flight) => flight.copies > 0);
      const lost = copies.filter((flight) => flight.isLost).length;
      const known = copies.filter((flight) => !flight.isLost && !flight.infects).length;
      const notes = [`Links: ${kinds.join(", ")}.`];
      notes.push(`${counted(known, "copy", "copies")} of what was known, ${grouped(lost)} lost for certain.`);
      if (links.length < linksInAll) notes.push(`${this.drawnOf(links.length, linksInAll)} links are told apart.`);
      if (shown < all) notes.push(`${this.drawnOf(shown, all)} datagrams without copies are drawn.`);
      return notes;
    }

    // What is known of a node at a time, in lines.
    tell(node, time) {
      const name = `${this.run.names[node]}, ${this.run.title}`;
      return [name, ...this.tellOutage(node, time), ...this.tellReceipt(node, time), ...this.tellLinks(node)];
    }

    tellOutage(node, time) {
      const lines = [];
      const outage = this.run.outageOf(node, time);
      const cut = this.run.cutAt(time);
      if (outage) {
        const since = outage.from < 0 ? `${ms(-outage.from)} before the rumour` : ms(outage.from);
        const until = outage.until === Infinity ? "" : ` until ${ms(outage.until)}`;
        lines.push(`down since ${since}${until}`);
        if (cut.by.has(node)) lines.push("without it the links fall apart");
      }
      if (cut.off.has(node)) lines.push("cut off: no way of links leads here");
      return lines;
    }

    tellReceipt(node, time) {
      const { run } = this;
      const receipt = run.receiptOf[node];
      if (node === run.creator) return ["created the rumour"];
      if (!receipt) return ["never got the rumour"];
      const place = run.tellsLinks ? `, the ${ordinal(receipt.place)} to have it` : "";
      const when = receipt.time <= time ? "infected at" : "not yet; infected at";
      const from = receipt.from === UNKNOWN ? "by whom is unknown" : `by ${run.names[receipt.from]}`;
      const hop = receipt.hop === UNKNOWN ? "" : `, hop ${receipt.hop}`;
      const lines = [`${when} ${ms(receipt.time)}${place}`, from + hop];
      if (run.flightInto.get(node)?.kind === "repair") {
        const wish = run.wishFor(receipt);
        lines.push(wish ? `on request of ${ms(wish.time)}` : "on request");
      }
      return lines;
    }

    tellLinks(node) {
      const kinds = [["eager", "payload along"], ["asked", "payload on request"], ["lazy", "ids alone along"]];
      const lines = [];
      for (const [use, words] of kinds) {
        for (const [prefix, suffix] of [["", ""], ["floor ", ", by the floor"]]) {
          const links = this.run.linksOf[node].filter((link) => link.use === prefix + use);
          const names = links.map(({ a, b }) => this.run.names[a === node ? b : a]);
          if (names.length > NEIGHBOURS_MAX) names.splice(NEIGHBOURS_MAX, names.length, `${names.length - NEIGHBOURS_MAX} more`);
          if (names.length > 0) lines.push(`${words}${suffix}: ${names.join(", ")}`);
        }
      }
      return lines;
    }

    readColors() {
      const style = getComputedStyle(document.documentElement);
      const color = (name) => style.getPropertyValue(`--${name}`).trim();
      this.colors = Object.fromEntries(KINDS.map((kind) => [kind, color(kind)]));
      this.cardColor = color("card");
      this.modeColor = style.getPropertyValue(`--${this.run.mode}`).trim();
    }

    resize() {
      const width = this.stage.clientWidth;
      this.zoom = width / this.network.width;
      const density = window.devicePixelRatio || 1;
      this.canvas.width = Math.round(width * density);
      this.canvas.height = Math.round(this.stage.clientHeight * density);
      this.context.setTransform(density * this.zoom, 0, 0, density * this.zoom, 0, 0);
      this.over.classList.toggle("unnamed", this.letters * this.zoom < LETTERS_MIN);
      if (this.clock) this.paint();
    }

    // Places of everything on the slider, under this clock.
    setClock(clock) {
      this.clock = clock;
      const { run } = this;
      this.turns = run.receiptTimes.map((time) => clock.share(time));
      this.starts = run.flightTimes.map((time) => clock.share(time));
      this.lands = run.flights.map((flight) => clock.share(flight.lands));
      this.longest = this.lands.reduce((most, land, i) => Math.max(most, land - this.starts[i]), 0);
    }

    show(share) {
      this.share = share;
      this.time = this.clock.time(share);
      const count = countUpTo(this.run.receiptTimes, this.time);
      const before = this.shown;
      for (; this.shown < count; this.shown++) this.turn(this.shown, true);
      for (; this.shown > count; this.shown--) this.turn(this.shown - 1, false);
      if (before !== this.shown && this.twigs.length > 0) this.drawTwigs();
      this.turnOver();
      this.showState();
      this.paint();
    }

    turn(index, has) {
      this.discs[this.run.receipts[index].node].classList.toggle("has", has);
    }

    // Shows who is down now, and what that cuts off.
    turnOver() {
      const turned = countUpTo(this.run.turningPoints, this.time);
      if (turned === this.turned) return;
      this.turned = turned;
      this.down = this.run.downAt(this.time);
      this.cut = this.run.cutAt(this.time);
      this.discs.forEach((disc, node) => {
        disc.classList.toggle("down", this.down.has(node));
        disc.classList.toggle("rifts", this.down.has(node) && this.cut.by.has(node));
        disc.classList.toggle("off", this.cut.off.has(node));
      });
      this.drawLinks(this.down);
      Object.assign(this.element.dataset, { down: this.down.size, parts: this.cut.parts });
    }

    // Of those who are up, how many have it, in words.
    tellReached() {
      if (this.run.outages.length === 0) return [this.shown + 1, this.nodes, "nodes"];
      const receivers = this.run.receipts.slice(0, this.shown).map((receipt) => receipt.node);
      const reached = [this.run.creator, ...receivers].filter((node) => !this.down.has(node)).length;
      return [reached, this.nodes - this.down.size, "live nodes"];
    }

    showState() {
      const [infected, live, nodesWord] = this.tellReached();
      const { datagrams, copies, ids, wish } = this.run.sentBy(this.time);
      const last = this.shown > 0 ? this.run.receiptTimes[this.shown - 1] : 0;
      const nodes = infected === live ? `all ${live} ${nodesWord} after ${ms(last)}` : `${infected} of ${live} ${nodesWord}`;
      const sent = copies === 0 ? "no copy yet" : `${grouped(copies)} ${copies === 1 ? "copy" : "copies"}`;
      const packed = copies > datagrams ? ` in ${grouped(datagrams)} datagrams` : "";
      const told = this.run.drawn[1] > 0 ? ` · ${sent}${packed}` : "";
      const words = (ids > 0 ? ` · ${counted(ids, "id", "ids")}` : "") + (wish > 0 ? ` · ${counted(wish, "request", "requests")}` : "");
      const parts = this.cut.parts > 1 ? ` · ${this.cut.parts} parts` : "";
      this.state.replaceChildren(element("b", {}, nodes), told, words, parts);
      Object.assign(this.element.dataset, { infected, live });
    }

    paint() {
      const { context, network } = this;
      context.clearRect(0, 0, network.width, network.height);
      const first = countUpTo(this.starts, this.share - this.longest - GLOW);
      let flying = 0;
      const kinds = new Set();
      for (let i = first; i < this.starts.length && this.starts[i] <= this.share; i++) {
        if (this.lands[i] + GLOW < this.share) continue;
        flying++;
        kinds.add(this.run.flights[i].kind).add(this.fateOf(this.run.flights[i]));
        this.paintFlight(i);
      }
      Object.assign(this.canvas.dataset, { flying, kinds: [...kinds].join(" ") });
      if (!calm.matches) this.paintWaves();
    }

    // A copy under way: its head is where the copy is, its tail follows.
    paintFlight(i) {
      const { context } = this;
      const flight = this.run.flights[i];
      const passed = this.share - this.starts[i];
      const travel = this.lands[i] - this.starts[i];
      const head = travel > 0 ? Math.min(1, passed / travel) : 1;
      const tail = passed / (travel + GLOW);
      const way = this.wayOf(flight, calm.matches ? 0 : tail, calm.matches ? 1 : head);
      context.globalAlpha = flight.infects || flight.copies === 0 ? 1 : 0.7;
      context.strokeStyle = context.fillStyle = this.colors[flight.kind];
      context.lineWidth = (flight.infects ? 3 : 1.2) * this.fine;
      context.setLineDash(TRAILS[flight.kind] ?? []);
      context.beginPath();
      context.moveTo(way.from.x, way.from.y);
      context.quadraticCurveTo(way.over.x, way.over.y, way.to.x, way.to.y);
      context.stroke();
      this.paintHead(flight, way, head >= 1);
      context.globalAlpha = 1;
    }

    fateOf(flight) {
      if (flight.isLost) return "lost";
      if (flight.copies === 0) return "said";
      return flight.infects ? "infects" : "known";
    }

    // The part of a curve between two shares of it, from rim to rim of the nodes.
    wayOf(flight, begin, end) {
      const a = this.place(flight.from);
      const b = this.place(flight.to);
      const [dx, dy] = [b.x - a.x, b.y - a.y];
      const length = Math.hypot(dx, dy) || 1;
      const lift = pull(this.network, length);
      const c = { x: (a.x + b.x) / 2 + (dy / length) * lift, y: (a.y + b.y) / 2 - (dx / length) * lift };
      const rim = Math.min(0.45, this.network.radius / Math.hypot(length, lift));
      const [p, q] = [begin, end].map((share) => rim + share * (1 - 2 * rim));
      const point = (s, t) => ({
        x: (1 - s) * (1 - t) * a.x + (s * (1 - t) + t * (1 - s)) * c.x + s * t * b.x,
        y: (1 - s) * (1 - t) * a.y + (s * (1 - t) + t * (1 - s)) * c.y + s * t * b.y,
      });
      return { from: point(p, p), over: point(p, q), to: point(q, q) };
    }

    // Full if it infects, hollow if it is known already; a cross where it is lost.
    paintHead(flight, { over, to }, isThere) {
      const { context } = this;
      const size = (flight.infects ? 4.5 : flight.copies > 0 ? 3.4 : 2.8) * this.fine;
      const shape = flight.isLost && isThere ? "lost" : flight.kind;
      context.setLineDash([]);
      context.lineWidth = 1.6 * this.fine;
      context.save();
      context.translate(to.x, to.y);
      context.rotate(Math.atan2(to.y - over.y, to.x - over.x));
      context.beginPath();
      HEADS[shape](context, size);
      if (!OPEN_HEADS.includes(shape)) {
        if (flight.copies > 0 && !flight.infects) context.fillStyle = this.cardColor;
        context.fill();
      }
      context.stroke();
      context.restore();
    }

    // A ring runs outwards from who has just been infected.
    paintWaves() {
      const { context } = this;
      context.strokeStyle = this.modeColor;
      context.lineWidth = 1.6 * this.fine;
      for (let i = this.shown - 1; i >= 0; i--) {
        const age = (this.share - this.turns[i]) / GLOW;
        if (age > 1) break;
        const { x, y } = this.place(this.run.receipts[i].node);
        context.globalAlpha = 1 - age;
        context.beginPath();
        context.arc(x, y, this.network.radius * (1.1 + 0.8 * age), 0, 2 * Math.PI);
        context.stroke();
      }
      context.globalAlpha = 1;
    }

    // Shows the way that the rumour took to a node; nothing for `null`.
    markWay(node) {
      for (const disc of this.discs) disc.classList.remove("on-way", "asked", "twin");
      for (const path of this.ways) path.setAttribute("d", "");
      this.stage.classList.toggle("asking", node !== null);
      if (node === null) return;
      const way = this.run.wayBack(node);
      for (const passed of way) this.discs[passed].classList.add("on-way");
      this.discs[node].classList.add("asked");
      const parts = way.slice(0, -1).map((to, i) => curve(this.wayOf({ from: way[i + 1], to }, 0, 1)));
      for (const path of this.ways) path.setAttribute("d", parts.join(""));
    }

    markTwin(node) {
      this.discs[node].classList.add("twin");
    }
  }

  // The tooltip, and who it is about.
  const tip = {
    panel: null,
    node: null,

    open(panel, node) {
      this.close();
      this.panel = panel;
      this.node = node;
      panel.markWay(node);
      for (const other of stage.panels) if (other !== panel) other.markTwin(node);
      this.refresh();
    },

    close() {
      if (this.panel) for (const panel of stage.panels) panel.markWay(null);
      this.panel = null;
      at("tip").hidden = true;
    },

    refresh() {
      if (!this.panel) return;
      const { panel, node } = this;
      const [name, ...lines] = panel.tell(node, panel.time);
      const names = panel.run.wayBack(node).map((passed) => panel.run.names[passed]);
      if (names.length > WAY_NAMES_MAX) names.splice(WAY_NAMES_MAX - 2, names.length - WAY_NAMES_MAX + 1, "…");
      if (names.length > 1) lines.push(names.join(" ← "));
      const body = [element("b", {}, name), ...lines.map((line) => element("div", {}, line))];
      at("tip").replaceChildren(...body);
      at("tip").hidden = false;
      const [disc, sender] = panel.run.wayBack(node).map((passed) => panel.discs[passed].getBoundingClientRect());
      this.settle(disc, sender);
    },

    // On the side of the node where its sender is not, if there is room; never beyond the window.
    settle(disc, sender) {
      const gap = 10;
      const { width, height } = at("tip").getBoundingClientRect();
      const left = Math.min(disc.left + disc.width / 2 - width / 2, innerWidth - width - gap);
      const above = disc.top - height - gap;
      const below = disc.bottom + gap;
      // What comes from the left on one line passes above, see `pull`.
      const comesFromAbove = sender && (sender.top - disc.top || sender.left - disc.left) < 0;
      const isLower = above < gap || (comesFromAbove && below + height + gap < innerHeight);
      at("tip").style.left = `${Math.max(gap, left)}px`;
      at("tip").style.top = `${isLower ? below : above}px`;
    },
  };

  // The curves above the slider, in the slider's own scale.
  const curves = {
    // Half of the slider's thumb, which does not go over its ends.
    inset: 8,
    top: 8,
    bottom: 72,

    draw() {
      const svg = at("curves");
      const width = svg.clientWidth;
      const x = (share) => this.inset + share * (width - 2 * this.inset);
      this.x = x;
      const grid = this.ticks(x, width);
      const lines = stage.panels.map((panel) => this.curve(panel, x));
      this.hand = drawn("line", { class: "hand", y1: this.top - 4, y2: this.bottom });
      const label = drawn("text", { x: this.inset + 5, y: this.top + 11 }, "100\u202f% of nodes");
      svg.replaceChildren(...grid, label, ...lines, ...this.deaths(x), this.hand);
    },

    ticks(x, width) {
      const made = [];
      let free = 0;
      for (const time of stage.clock.ticks()) {
        const at = x(stage.clock.share(time));
        made.push(drawn("line", { class: "grid", x1: at, x2: at, y1: this.top, y2: this.bottom }));
        const text = time === 0 ? "0" : ms(time).replace(/\.0+ /, " ").replace(/(\.\d*?)0+ /, "$1 ");
        const half = text.length * 3.2;
        const middle = Math.min(Math.max(at, half), width - half);
        if (middle - half < free) continue;
        free = middle + half + 8;
        made.push(drawn("text", { x: middle, y: this.bottom + 15, "text-anchor": "middle" }, text));
      }
      return made;
    },

    // A cross where somebody dies.
    deaths(x) {
      const outages = stage.panels.flatMap((panel) => panel.run.outages);
      const times = new Set(outages.map((outage) => outage.from).filter((from) => from >= 0));
      const cross = (at) => `M${at - 3} ${this.bottom - 3}l6 6m0 -6l-6 6`;
      return [...times].map((time) => drawn("path", { class: "death", d: cross(x(stage.clock.share(time))) }));
    },

    curve(panel, x) {
      const { run, nodes } = panel;
      const y = (infected) => this.bottom - (infected / nodes) * (this.bottom - this.top);
      let path = `M${x(0)} ${y(1)}`;
      run.receiptTimes.forEach((time, i) => {
        path += `H${x(stage.clock.share(time)).toFixed(1)}V${y(i + 2).toFixed(1)}`;
      });
      return drawn("path", { class: `curve ${run.mode}`, d: `${path}H${x(1)}` });
    },

    point(share) {
      const at = this.x(share);
      this.hand.setAttribute("x1", at);
      this.hand.setAttribute("x2", at);
    },
  };

  // What is played, and where it stands.
  const stage = {
    panels: [],
    network: null,
    clock: null,
    share: 0,
    isPlaying: false,

    open(index) {
      tip.close();
      for (const panel of this.panels) panel.observer.disconnect();
      this.network = film.networks[index];
      const nodes = this.network.places.length / 2;
      const runs = this.network.runs.map((packed) => new Run(packed, nodes));
      this.panels = runs.map((run) => new Panel(this.network, run));
      at("panels").className = this.network.shape;
      at("panels").replaceChildren(...this.panels.map((panel) => panel.element));
      this.trimLegend(runs);
      at("scale").value = this.usualScale(runs);
      this.rescale();
      this.seek(0);
    },

    // The legend names what these runs have.
    trimLegend(runs) {
      const has = {
        links: runs.some((run) => run.tellsLinks),
        words: runs.some((run) => run.told[0] > 0),
        repair: runs.some((run) => run.flights.some((flight) => flight.kind === "repair")),
        lost: runs.some((run) => run.flights.some((flight) => flight.isLost)),
        deaths: runs.some((run) => run.outages.length > 0),
        cuts: runs.some((run) => run.cuts.some((cut) => cut.parts > 1)),
      };
      for (const item of at("legend").querySelectorAll("[data-for]")) item.hidden = !has[item.dataset.for];
    },

    // Logarithmic where the fastest mode would be over before it can be seen.
    usualScale(runs) {
      const ends = runs.map((run) => run.last).filter((last) => last > 0);
      return this.network.end > film.log_above * Math.min(...ends) ? "log" : "linear";
    },

    // The same moment under another scale.
    rescale() {
      const time = this.clock ? this.clock.time(this.share) : 0;
      const firsts = this.panels.map((panel) => panel.run.receiptTimes[0]).filter((first) => first > 0);
      const knee = Math.max(1, Math.min(...firsts, this.network.end) / KNEE_PART);
      this.clock = new Clock(this.network.end, at("scale").value, knee);
      for (const panel of this.panels) panel.setClock(this.clock);
      curves.draw();
      this.seek(Math.min(1, this.clock.share(time)));
    },

    seek(share) {
      this.share = share;
      const time = this.clock.time(share);
      at("slider").value = Math.round(share * at("slider").max);
      at("slider").setAttribute("aria-valuetext", ms(time));
      at("clock").textContent = ms(time);
      curves.point(share);
      for (const panel of this.panels) panel.show(share);
      tip.refresh();
    },

    play() {
      if (this.isPlaying) return;
      if (this.share >= 1) this.seek(0);
      this.isPlaying = true;
      at("play").textContent = "Pause";
      let before = null;
      const frame = (now) => {
        if (!this.isPlaying) return;
        const passed = before === null ? 0 : (now - before) / 1000;
        if (before === null || !calm.matches || passed >= CALM_FRAME) {
          before = now;
          this.seek(Math.min(1, this.share + passed / Number(at("seconds").value)));
        }
        if (this.share >= 1) this.pause();
        else requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
    },

    pause() {
      this.isPlaying = false;
      at("play").textContent = "Play";
    },

    toggle() {
      if (this.isPlaying) this.pause();
      else this.play();
    },
  };

  function nodeUnder(event) {
    const disc = event.target.closest?.(".node");
    const panel = disc && stage.panels.find((candidate) => candidate.over.contains(disc));
    return panel ? { panel, node: Number(disc.dataset.node) } : null;
  }

  function ask(event) {
    const found = nodeUnder(event);
    if (found) tip.open(found.panel, found.node);
  }

  // Arrow keys go from node to node within a panel, in the order of their numbers.
  function walk(event) {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    const found = nodeUnder(event);
    if (!found || !(event.key in steps)) return;
    event.preventDefault();
    const { panel, node } = found;
    const next = (node + steps[event.key] + panel.nodes) % panel.nodes;
    panel.discs[node].setAttribute("tabindex", -1);
    panel.discs[next].setAttribute("tabindex", 0);
    panel.discs[next].focus();
  }

  function onKey(event) {
    // Space on a button or a list is theirs.
    const isTheirs = event.target.closest?.("button, select, summary, a");
    if (event.key === " " && !isTheirs && !event.ctrlKey && !event.altKey && !event.metaKey) {
      event.preventDefault();
      stage.toggle();
    }
    if (event.key === "Escape") tip.close();
    walk(event);
  }

  function begin() {
    // An experiment without a run that can be drawn has its table and its plots only.
    if (film.networks.length === 0) return;
    at("replay").hidden = false;
    film.networks.forEach((network, index) => {
      at("network").append(element("option", { value: index }, network.title));
    });
    at("network").addEventListener("change", () => {
      stage.pause();
      stage.open(Number(at("network").value));
    });
    at("scale").addEventListener("change", () => stage.rescale());
    at("play").addEventListener("click", () => stage.toggle());
    at("slider").addEventListener("input", () => {
      stage.pause();
      stage.seek(at("slider").value / at("slider").max);
    });
    at("panels").addEventListener("pointerover", ask);
    at("panels").addEventListener("pointerout", () => tip.close());
    at("panels").addEventListener("focusin", ask);
    at("panels").addEventListener("focusout", () => tip.close());
    document.addEventListener("keydown", onKey);
    document.addEventListener("scroll", () => tip.refresh(), { passive: true });
    dark.addEventListener("change", () => {
      for (const panel of stage.panels) panel.readColors();
      stage.seek(stage.share);
    });
    new ResizeObserver(() => {
      curves.draw();
      curves.point(stage.share);
    }).observe(at("curves"));
    stage.open(Number(at("network").value) || 0);
  }

  begin();
})();
