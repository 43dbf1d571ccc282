"use strict";
// Plays the replays of the page. What is on the screen follows from the place of the slider alone, so
// that playing, dragging and jumping show the same.
(() => {
  const UNKNOWN = -1;
  const RECEIPT_LEN = 4;
  const FLIGHT_LEN = 6;
  const REST_LEN = 3;
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
  // Names of a way that a tooltip has room for.
  const WAY_NAMES_MAX = 12;
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
      this.drawn = packed.drawn;
      this.creator = packed.creator;
      this.flightTime = packed.flight_us;
      this.names = Array.from({ length: nodes }, (_, node) => packed.names[node] ?? `Node${node + 1}`);
      this.readReceipts(packed.receipts, nodes);
      this.readFlights(packed.flights);
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
        const receipt = { node, time, from, hop };
        this.receipts.push(receipt);
        this.receiptOf[node] = receipt;
      }
      this.receiptTimes = this.receipts.map((receipt) => receipt.time);
    }

    readFlights(numbers) {
      this.flights = [];
      this.copiesBy = [];
      let time = 0;
      let copiesBy = 0;
      for (let i = 0; i < numbers.length; i += FLIGHT_LEN) {
        const [wait, from, to, kind, copies, travel] = numbers.slice(i, i + FLIGHT_LEN);
        time += wait;
        copiesBy += copies;
        const infects = travel !== UNKNOWN;
        const lands = time + (infects ? travel : this.flightTime);
        this.flights.push({ time, from, to, kind, infects, lands });
        this.copiesBy.push(copiesBy);
      }
      this.flightTimes = this.flights.map((flight) => flight.time);
    }

    get last() {
      return this.receiptTimes.at(-1) ?? null;
    }

    // Datagrams and copies that had left by then, those that are not drawn included.
    sentBy(time) {
      const flights = countUpTo(this.flightTimes, time);
      const steps = countUpTo(this.restTimes, time);
      const rest = steps > 0 ? this.rest[steps - 1] : { datagrams: 0, copies: 0 };
      const copies = flights > 0 ? this.copiesBy[flights - 1] : 0;
      return { datagrams: flights + rest.datagrams, copies: copies + rest.copies };
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

  // A network's drawing with one run on it.
  class Panel {
    constructor(network, run) {
      this.network = network;
      this.run = run;
      this.nodes = network.places.length / 2;
      this.shown = 0;
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
      return element("section", attributes, top, this.stage, note);
    }

    buildLinks(box) {
      const { links } = this.network;
      let path = "";
      for (let i = 0; i < links.length; i += 2) {
        const [a, b] = [this.place(links[i]), this.place(links[i + 1])];
        path += `M${a.x} ${a.y}L${b.x} ${b.y}`;
      }
      const opacity = Math.min(1, (2 * FULL_LINKS_MAX) / links.length);
      const lines = drawn("path", { class: "links", d: path, "stroke-opacity": opacity });
      return drawn("svg", { ...box, "aria-hidden": "true" }, lines);
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
      return group;
    }

    note() {
      const { repeat, drawn: [shown, all] } = this.run;
      const which = repeat[1] > 1 ? `Run ${repeat[0]} of ${repeat[1]}, the median one.` : "The only run.";
      if (all === 0) return `${which} Its trace tells of no copies.`;
      if (shown === 0) return `${which} Its trace does not tell whom copies went to: none is drawn.`;
      const part = shown < all ? `${grouped(shown)} of ${grouped(all)}` : `All ${grouped(all)}`;
      return `${which} ${part} datagrams until the end of the replay are drawn.`;
    }

    // What is known of a node at a time, in lines.
    tell(node, time) {
      const { run } = this;
      const receipt = run.receiptOf[node];
      const name = `${run.names[node]}, ${run.title}`;
      if (node === run.creator) return [name, "created the rumour"];
      if (!receipt) return [name, "never got the rumour"];
      const when = receipt.time <= time ? "infected at" : "not yet; infected at";
      const from = receipt.from === UNKNOWN ? "by whom is unknown" : `by ${run.names[receipt.from]}`;
      const hop = receipt.hop === UNKNOWN ? "" : `, hop ${receipt.hop}`;
      return [name, `${when} ${ms(receipt.time)}`, from + hop];
    }

    readColors() {
      const style = getComputedStyle(document.documentElement);
      this.colors = KINDS.map((kind) => style.getPropertyValue(`--${kind}`).trim());
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
      for (; this.shown < count; this.shown++) this.turn(this.shown, true);
      for (; this.shown > count; this.shown--) this.turn(this.shown - 1, false);
      this.showState();
      this.paint();
    }

    turn(index, has) {
      this.discs[this.run.receipts[index].node].classList.toggle("has", has);
    }

    showState() {
      const infected = this.shown + 1;
      const { datagrams, copies } = this.run.sentBy(this.time);
      const nodes = infected === this.nodes
        ? `all ${this.nodes} nodes after ${ms(this.run.last ?? 0)}`
        : `${infected} of ${this.nodes} nodes`;
      const sent = copies === 0 ? "no copy yet" : `${grouped(copies)} ${copies === 1 ? "copy" : "copies"}`;
      const packed = copies > datagrams ? ` in ${grouped(datagrams)} datagrams` : "";
      const told = this.run.drawn[1] > 0 ? ` · ${sent}${packed}` : "";
      this.state.replaceChildren(element("b", {}, nodes), told);
      this.element.dataset.infected = infected;
    }

    paint() {
      const { context, network } = this;
      context.clearRect(0, 0, network.width, network.height);
      const first = countUpTo(this.starts, this.share - this.longest - GLOW);
      let flying = 0;
      for (let i = first; i < this.starts.length && this.starts[i] <= this.share; i++) {
        if (this.lands[i] + GLOW < this.share) continue;
        flying++;
        this.paintFlight(i);
      }
      this.canvas.dataset.flying = flying;
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
      context.globalAlpha = flight.infects ? 1 : 0.6;
      context.strokeStyle = context.fillStyle = this.colors[flight.kind];
      context.lineWidth = (flight.infects ? 3 : 1.2) * this.fine;
      context.setLineDash(KINDS[flight.kind] === "ride" ? [3, 3] : []);
      context.beginPath();
      context.moveTo(way.from.x, way.from.y);
      context.quadraticCurveTo(way.over.x, way.over.y, way.to.x, way.to.y);
      context.stroke();
      this.paintHead(flight, way);
      context.globalAlpha = 1;
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

    // A disc for ticks, a triangle for what is forwarded at once, a square for what rides along, a
    // diamond for what was asked for.
    paintHead(flight, { over, to }) {
      const { context } = this;
      const size = (flight.infects ? 4.5 : 2.6) * this.fine;
      context.setLineDash([]);
      context.save();
      context.translate(to.x, to.y);
      context.rotate(Math.atan2(to.y - over.y, to.x - over.x));
      context.beginPath();
      if (KINDS[flight.kind] === "tick") {
        context.arc(0, 0, size, 0, 2 * Math.PI);
      } else if (KINDS[flight.kind] === "now") {
        context.moveTo(size, 0);
        context.lineTo(-size, size);
        context.lineTo(-size, -size);
      } else if (KINDS[flight.kind] === "repair") {
        const [far, near] = [1.5 * size, 1.2 * size];
        context.moveTo(far, 0);
        context.lineTo(0, near);
        context.lineTo(-far, 0);
        context.lineTo(0, -near);
      } else {
        context.rect(-size, -size, 2 * size, 2 * size);
      }
      context.fill();
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
      const parts = way.slice(0, -1).map((to, i) => {
        const { from, over, to: end } = this.wayOf({ from: way[i + 1], to }, 0, 1);
        return `M${from.x} ${from.y}Q${over.x} ${over.y} ${end.x} ${end.y}`;
      });
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
      svg.replaceChildren(...grid, label, ...lines, this.hand);
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
      at("scale").value = this.usualScale(runs);
      this.rescale();
      this.seek(0);
    },

    // Logarithmic where the fastest mode would be over before it can be seen.
    usualScale(runs) {
      const ends = runs.map((run) => run.last).filter((last) => last > 0);
      return Math.max(...ends) > film.log_above * Math.min(...ends) ? "log" : "linear";
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
