"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const call = JSON.parse($("call").textContent);
  const audio = $("sound"), view = $("view"), inner = $("inner"), overview = $("overview"), cursor = $("cursor");
  if (!view) return;
  const [chart, map] = [inner.querySelector("canvas"), overview.querySelector("canvas")];
  const [box, played, frame] = [overview.querySelector(".window"), overview.querySelector(".played"), view.parentElement];
  const layer = inner.querySelector(".words"), marks = $("marks");
  const PAD = 14, RULER = 26, WAVE = 92, ROW = 25, MARK = 34, MAX_PPS = 2000;
  const SIDES = ["caller", "bot"];

  // -- the samples, as they are in the audio element: no second copy in the file

  const BLOCK = 32;
  const tracks = {};
  if (audio && call.channels) {
    const bytes = atob(audio.getAttribute("src").split(",", 2)[1]);
    const count = Math.floor((bytes.length - 44) / 2 / call.channels);
    SIDES.slice(0, call.channels).forEach((who, channel) => {
      const samples = new Int16Array(count);
      for (let n = 0, at = 44 + 2 * channel; n < count; n++, at += 2 * call.channels)
        samples[n] = bytes.charCodeAt(at) | (bytes.charCodeAt(at + 1) << 8);
      const size = Math.ceil(count / BLOCK), low = new Int16Array(size), high = new Int16Array(size);
      let loudest = 1;
      for (let n = 0; n < count; n++) {
        const block = (n / BLOCK) | 0;
        if (samples[n] < low[block]) low[block] = samples[n];
        if (samples[n] > high[block]) high[block] = samples[n];
        if (Math.abs(samples[n]) > loudest) loudest = Math.abs(samples[n]);
      }
      tracks[who] = { samples, low, high, loudest };
    });
  }
  // One scale for both, so that who is louder looks louder.
  const loudest = Math.max(2000, ...Object.values(tracks).map((track) => track.loudest));

  /** The lowest and the highest of the samples from `first` to before `last`, from -1 to 1. */
  function span(track, first, last) {
    let low = 0, high = 0;
    first = Math.max(0, first);
    last = Math.min(track.samples.length, Math.max(last, first + 1));
    if (first >= last) return [0, 0];
    low = high = track.samples[first];
    for (let n = first; n < last;) {
      if (n % BLOCK === 0 && n + BLOCK <= last) {
        const block = n / BLOCK;
        if (track.low[block] < low) low = track.low[block];
        if (track.high[block] > high) high = track.high[block];
        n += BLOCK;
      } else {
        if (track.samples[n] < low) low = track.samples[n];
        if (track.samples[n] > high) high = track.samples[n];
        n++;
      }
    }
    return [low / loudest, high / loudest];
  }

  // -- the words, in the timeline and in the transcript

  const said = { caller: [], bot: [] };
  const lines = [];
  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    element.className = name;
    if (text) element.textContent = text;
    return element;
  };
  let number = 0;
  call.lines.forEach((line, n) => {
    const entry = { ...line, item: document.querySelector(`[data-line="${n}"]`) };
    entry.chip = make("span", `chip ${line.who}`, line.words.map((word) => word[0]).join(" "));
    lines.push(entry);
    for (const [text, start, end] of line.words) {
      const word = { start, end, chip: make("span", `word ${line.who}`, text) };
      word.item = document.querySelector(`[data-w="${number++}"]`);
      for (const element of [word.chip, word.item]) if (element) element.dataset.ms = start;
      said[line.who].push(word);
    }
    if (line.unsaid) {
      entry.lost = make("del", "lost", line.unsaid);
      entry.lost.dataset.ms = line.stop ?? line.end;
    }
    entry.chip.dataset.ms = line.at;
  });
  for (const who of SIDES) said[who].sort((one, other) => one.start - other.start);

  const pins = call.marks.map((mark) => {
    const pin = make("button", `pin ${mark.kind}`);
    pin.type = "button";
    pin.append(make("i", `dot ${mark.kind}`), make("span", "label", mark.label));
    pin.setAttribute("aria-label", `${mark.label} at ${clock(mark.at)}`);
    pin.addEventListener("click", () => choose(mark, pin));
    return { mark, pin };
  });

  function choose(mark, pin) {
    for (const other of pins) other.pin.classList.toggle("chosen", other.pin === pin);
    const list = document.createElement("dl");
    for (const [name, value] of [["At", `${(mark.at / 1000).toFixed(3)} s`], ...mark.details]) {
      const pair = document.createElement("div");
      pair.append(make("dt", "", name), make("dd", "txt", value));
      list.append(pair);
    }
    const title = make("h3", "txt", mark.label);
    title.prepend(make("i", `dot ${mark.kind}`));
    $("detail").replaceChildren(title, list);
    seek(mark.at);
  }

  // -- where everything is

  let pps = 120, rows = { caller: 1, bot: 1 }, top = {}, height = 0, byWord = true;
  const x = (ms) => PAD + (ms / 1000) * pps;
  const ms = (px) => Math.min(call.ms, Math.max(0, ((px - PAD) / pps) * 1000));
  const pen = chart.getContext("2d");

  function measure() {
    pen.font = getComputedStyle(layer).font;
    for (const word of [...said.caller, ...said.bot]) word.width = Math.ceil(pen.measureText(word.chip.textContent).width) + 9;
    for (const line of lines) if (line.lost) line.lost.width = Math.ceil(pen.measureText(line.unsaid).width) + 14;
    for (const { mark, pin } of pins) pin.width = Math.min(240, Math.ceil(pen.measureText(mark.label).width)) + 34;
  }

  /** Puts things into rows, each at its moment or, if all rows are taken there, right behind what takes it. */
  function pack(things, most) {
    const ends = [];
    let pushed = 0;
    for (const thing of things) {
      let row = ends.findIndex((end) => end <= thing.left);
      if (row < 0 && ends.length < most) row = ends.length;
      if (row < 0) {
        row = ends.indexOf(Math.min(...ends));
        pushed = Math.max(pushed, ends[row] - thing.left);
        thing.left = ends[row];
      }
      ends[row] = thing.left + thing.width + 2;
      thing.row = row;
    }
    return { rows: Math.max(1, ends.length), pushed };
  }

  // What has several words in it has no times for each: it takes as much room as it lasted, and no more.
  const wide = (word) => (/\s/.test(word.chip.textContent) ? Math.max(24, x(word.end) - x(word.start)) : Infinity);
  const packed = (who) =>
    said[who].map((word) => ({ word, left: x(word.start), width: Math.min(word.width, wide(word)) }));
  const pushed = () => Math.max(...SIDES.map((who) => pack(packed(who), 2).pushed));

  /** The least zoom at which each word stands where it is said. */
  function readable() {
    const before = pps;
    for (pps = 90; pps < 260 && pushed() > 3;) pps += 10;
    const found = pps;
    pps = before;
    return found;
  }

  const whole = () => Math.max(0.001, (view.clientWidth - 2 * PAD) / (call.ms / 1000));

  function layout() {
    inner.style.width = `${Math.max(view.clientWidth, Math.ceil(x(call.ms) + PAD))}px`;
    byWord = pps >= 0.75 * wordZoom;
    const elements = [];
    const place = (element, left, y, width) => {
      element.style.left = `${left}px`;
      element.style.top = `${y}px`;
      element.style.width = width === undefined ? "" : `${width}px`;
      elements.push(element);
    };
    let y = RULER;
    for (const who of SIDES) {
      top[who] = y;
      y += WAVE + 4;
      if (byWord) {
        const things = packed(who);
        const count = pack(things, 2).rows;
        for (const { word, left, row, width } of things)
          place(word.chip, left, y + row * ROW, width < word.width ? width : undefined);
        y += count * ROW;
        const lost = lines.filter((line) => line.lost && line.who === who);
        const rest = lost.map((line) => ({ line, left: x(line.stop ?? line.end) + 2, width: line.lost.width }));
        if (rest.length) {
          pack(rest, 1);
          for (const { line, left } of rest) place(line.lost, left, y);
          y += ROW;
        }
      } else {
        for (const line of lines)
          if (line.who === who) {
            const width = Math.max(3, x(line.end) - x(line.at) - 1);
            line.chip.classList.toggle("tiny", width < 44);
            place(line.chip, x(line.at), y, width);
          }
        y += ROW;
      }
      y += 10;
    }
    layer.replaceChildren(...elements);
    top.marks = y;
    cursor.style.height = `${y - 22}px`;
    const things = pins.map(({ mark, pin }) => ({ pin, left: x(mark.at) - 9, width: byWord ? pin.width : 30 }));
    const count = pins.length ? pack(things, byWord ? 3 : 4).rows : 0;
    marks.classList.toggle("small", !byWord);
    for (const { pin, left, row } of things) {
      pin.style.left = `${left}px`;
      pin.style.top = `${y + row * MARK}px`;
      if (!pin.isConnected) marks.append(pin);
    }
    height = y + count * MARK + 4;
    inner.style.height = `${height}px`;
    for (const who of SIDES) frame.querySelector(`.lane.${who}`).style.top = `${top[who] + 6}px`;
  }

  // -- drawing

  let ink = {};
  function colours() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["caller", "bot", "line", "muted", "warn", "bad", "surface", "lane", "pausing"])
      ink[name] = style.getPropertyValue(`--${name}`).trim();
  }

  function fit(canvas, width, tall) {
    const ratio = window.devicePixelRatio || 1;
    const [w, h] = [Math.round(width * ratio), Math.round(tall * ratio)];
    if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
    canvas.style.width = `${width}px`;
    canvas.style.height = `${tall}px`;
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, w, h);
    return [context, ratio, w];
  }

  /** A column for each device pixel; `at(column)` is its first sample. */
  function wave(context, who, y, tall, columns, at) {
    const track = tracks[who];
    context.fillStyle = ink[who];
    if (!track) {
      // Without a recording: a block for each line, where the record has it.
      const [zero, each] = [at(0), at(1) - at(0)];
      const column = (ms) => ((ms / 1000) * call.rate - zero) / each;
      context.globalAlpha = 0.35;
      for (const line of lines)
        if (line.who === who) context.fillRect(column(line.at), y + tall / 3, column(line.end) - column(line.at), tall / 3);
      context.globalAlpha = 1;
      return 0;
    }
    const middle = y + tall / 2, scale = tall / 2;
    let drawn = 0;
    for (let column = 0; column < columns; column++) {
      const first = Math.floor(at(column)), last = Math.floor(at(column + 1)) + 1;
      if (last <= 0 || first >= track.samples.length) continue;
      const [low, high] = span(track, first, last);
      const from = Math.round(middle - high * scale), to = Math.round(middle - low * scale);
      context.fillRect(column, from, 1, Math.max(1, to - from));
      drawn++;
    }
    return drawn;
  }

  function draw() {
    const width = view.clientWidth, left = view.scrollLeft;
    const [context, ratio, columns] = fit(chart, width, height);
    const rect = (from, y, to, tall, colour) => {
      context.fillStyle = colour;
      context.fillRect((from - left) * ratio, y * ratio, Math.max(1, (to - from) * ratio), tall * ratio);
    };
    for (const who of SIDES) rect(left, top[who], left + width, WAVE, ink.lane);
    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
    const step = steps.find((seconds) => seconds * pps >= 64) || 64 / pps;
    context.font = `${12 * ratio}px ${getComputedStyle(document.body).fontFamily}`;
    context.textBaseline = "middle";
    for (let n = Math.floor((left - PAD) / pps / step); n * step * pps + PAD < left + width; n++) {
      if (n < 0 || n * step * 1000 > call.ms) continue;
      const at = Math.round(n * step * pps + PAD);
      rect(at, RULER - 6, at + 1 / ratio, top.marks - RULER + 6, ink.line);
      context.fillStyle = ink.muted;
      context.fillText(clock(n * step * 1000).replace(/\.0$/, ""), (at - left) * ratio + (n ? -10 * ratio : 0), 10 * ratio);
    }
    for (const [from, to] of call.pauses) hatch(context, ratio, x(from) - left, top.bot, x(to) - x(from), WAVE);
    const [began, stopped] = call.barge;
    if (began !== null && stopped !== null) {
      context.globalAlpha = 0.14;
      rect(x(began), top.caller, x(stopped), top.bot + WAVE - top.caller, ink.bad);
      context.globalAlpha = 1;
    }
    for (const who of SIDES) {
      const rate = call.rate / pps / ratio;
      wave(context, who, (top[who] + 4) * ratio, (WAVE - 8) * ratio, columns, (n) => (n + (left - PAD) * ratio) * rate);
    }
    for (const { mark, pin } of pins) {
      const strong = mark.kind === "stop" || mark.kind === "barge";
      const y = mark.kind === "key" || mark.kind === "barge" ? top.caller : top.bot;
      context.globalAlpha = strong ? 1 : 0.55;
      const colour = strong ? ink.bad : mark.kind === "pause" || mark.kind === "resume" ? ink.warn : ink.muted;
      const tall = parseFloat(pin.style.top) + 4 - y;
      if (mark.kind === "stop") rect(x(mark.at) - 0.75, y, x(mark.at) + 0.75, tall, colour);
      else for (let at = 0; at < tall; at += 6) rect(x(mark.at) - 0.5, y + at, x(mark.at) + 0.5, 3, colour);
      context.globalAlpha = 1;
    }
    const share = (px) => `${(100 * px) / call.ms}%`;
    box.style.left = share(ms(left));
    box.style.width = share(ms(left + width) - ms(left));
  }

  function hatch(context, ratio, left, y, width, tall) {
    context.save();
    context.beginPath();
    context.rect(left * ratio, y * ratio, width * ratio, tall * ratio);
    context.clip();
    context.strokeStyle = ink.warn;
    context.globalAlpha = 0.45;
    context.lineWidth = 1.5 * ratio;
    context.beginPath();
    const last = Math.min(width, view.clientWidth - left);
    for (let at = Math.max(-tall, Math.floor((-left - tall) / 8) * 8); at < last; at += 8) {
      context.moveTo((left + at) * ratio, (y + tall) * ratio);
      context.lineTo((left + at + tall) * ratio, y * ratio);
    }
    context.stroke();
    context.restore();
  }

  function drawMap() {
    const width = overview.clientWidth, tall = overview.clientHeight;
    const [context, ratio, columns] = fit(map, width, tall);
    const scale = ((call.ms / 1000) * call.rate) / columns;
    const half = (tall * ratio) / 2;
    let peaks = 0;
    SIDES.forEach((who, n) => (peaks += wave(context, who, n * half + 3 * ratio, half - 6 * ratio, columns, (c) => c * scale)));
    const [began, stopped] = call.barge;
    context.fillStyle = ink.bad;
    for (const at of [began, stopped]) if (at !== null) context.fillRect((at / call.ms) * columns, 0, ratio, tall * ratio);
    overview.dataset.peaks = peaks;
  }

  let waiting = false;
  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => ((waiting = false), draw()));
  }

  // -- time

  let here = 0, following = true, wordZoom = 120;

  function clock(at) {
    const tenths = Math.max(0, Math.round(at / 100));
    const two = String(Math.floor(tenths / 10) % 60).padStart(2, "0");
    return `${Math.floor(tenths / 600)}:${two}.${tenths % 10}`;
  }

  const lit = { caller: null, bot: null };
  function show() {
    cursor.style.transform = `translateX(${x(here)}px)`;
    cursor.dataset.ms = Math.round(here);
    played.style.width = `${(100 * here) / call.ms}%`;
    if (audio) {
      $("now").textContent = clock(here);
      $("seek").value = here;
      $("seek").setAttribute("aria-valuetext", clock(here));
    }
    for (const who of SIDES) {
      let word = null;
      for (const each of said[who]) {
        if (each.start > here) break;
        if (here < each.end + 40) word = each;
      }
      if (word !== lit[who]) {
        for (const [each, on] of [[lit[who], false], [word, true]])
          for (const element of each ? [each.chip, each.item] : []) if (element) element.classList.toggle("now", on);
        lit[who] = word;
      }
    }
    for (const line of lines) {
      const on = line.at <= here && here < line.end;
      line.chip.classList.toggle("now", on);
      if (line.item) line.item.classList.toggle("now", on);
    }
  }

  function keepInView(always) {
    const at = x(here) - view.scrollLeft, width = view.clientWidth;
    if (always ? at < 24 || at > width - 24 : at < 0 || at > 0.82 * width) view.scrollLeft = x(here) - 0.25 * width;
  }

  function seek(at) {
    here = Math.min(call.ms, Math.max(0, at));
    if (audio) audio.currentTime = here / 1000;
    show();
    keepInView(true);
  }

  function tick() {
    if (!audio || audio.paused) return;
    here = audio.currentTime * 1000;
    show();
    if (following) keepInView(false);
    requestAnimationFrame(tick);
  }

  function toggle() {
    if (!audio) return;
    if (!audio.paused) return audio.pause();
    if (here >= call.ms - 50 || audio.ended) seek(0);
    audio.play().catch(() => {});
  }

  function follow(on) {
    following = on;
    $("follow").setAttribute("aria-pressed", on);
    if (on) keepInView(true);
  }

  /** Zooms, and what is at `px` of the view stays there. */
  function zoom(to, px = view.clientWidth / 2) {
    const at = ms(view.scrollLeft + px);
    pps = Math.min(MAX_PPS, Math.max(whole(), to));
    layout();
    view.scrollLeft = x(at) - px;
    draw();
    show();
  }

  const focus = () => {
    const at = x(here) - view.scrollLeft;
    return at >= 0 && at <= view.clientWidth ? at : view.clientWidth / 2;
  };

  // -- what the reader does

  view.addEventListener("scroll", redraw, { passive: true });
  view.addEventListener("click", (event) => {
    if (event.target.closest("button")) return;
    const word = event.target.closest("[data-ms]");
    seek(word && word !== cursor ? Number(word.dataset.ms) : ms(event.clientX - inner.getBoundingClientRect().left));
  });
  view.addEventListener(
    "wheel",
    (event) => {
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        zoom(pps * Math.exp(-event.deltaY / 240), event.clientX - view.getBoundingClientRect().left);
      } else if (event.deltaX && audio && !audio.paused) follow(false);
    },
    { passive: false },
  );
  view.addEventListener("touchmove", () => audio && !audio.paused && follow(false), { passive: true });
  const drag = (event) => seek(((event.clientX - overview.getBoundingClientRect().left) / overview.clientWidth) * call.ms);
  overview.addEventListener("pointerdown", (event) => {
    overview.setPointerCapture(event.pointerId);
    drag(event);
  });
  overview.addEventListener("pointermove", (event) => event.buttons && drag(event));
  document.addEventListener("click", (event) => {
    const target = event.target.closest(".lines [data-ms], .tools [data-ms]");
    if (target) seek(Number(target.dataset.ms));
  });
  $("zoom").hidden = false;
  $("in").addEventListener("click", () => zoom(pps * 1.5, focus()));
  $("out").addEventListener("click", () => zoom(pps / 1.5, focus()));
  $("words").addEventListener("click", () => zoom(wordZoom, focus()));
  $("fit").addEventListener("click", () => zoom(0));
  $("follow").addEventListener("click", () => follow(!following));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = event.target;
    if (event.key === " " && !target.closest("button, select, summary, a, textarea")) {
      event.preventDefault();
      toggle();
    } else if (!target.closest("input, select, textarea")) {
      const step = { ArrowLeft: -2000, ArrowRight: 2000 }[event.key];
      if (step) seek(here + step);
      else if (event.key === "+" || event.key === "=") zoom(pps * 1.5, focus());
      else if (event.key === "-") zoom(pps / 1.5, focus());
      else return;
      event.preventDefault();
    }
  });

  if (audio) {
    audio.controls = false;
    audio.hidden = true;
    const play = $("play");
    const state = () => {
      play.setAttribute("aria-label", audio.paused ? "Play" : "Pause");
      play.classList.toggle("playing", !audio.paused);
      tick();
    };
    play.addEventListener("click", toggle);
    for (const name of ["play", "pause", "ended"]) audio.addEventListener(name, state);
    audio.addEventListener("error", () => {
      $("trouble").textContent = "This browser cannot play the recording.";
      $("trouble").hidden = false;
    });
    $("seek").addEventListener("input", () => seek(Number($("seek").value)));
    $("speed").addEventListener("change", () => (audio.playbackRate = Number($("speed").value)));
  } else frame.classList.add("silent");

  // call.html#t=12.5 opens the call at a moment: something to send to a colleague.
  function moment() {
    const found = /^#t=(\d+(?:\.\d+)?)$/.exec(location.hash);
    if (found) seek(Number(found[1]) * 1000);
  }

  function refresh() {
    colours();
    layout();
    draw();
    drawMap();
    show();
  }

  colours();
  measure();
  wordZoom = readable();
  pps = Math.max(whole(), wordZoom);
  refresh();
  let size = view.clientWidth;
  new ResizeObserver(() => {
    if (view.clientWidth === size) return;
    size = view.clientWidth;
    pps = Math.max(whole(), pps);
    refresh();
  }).observe(view);
  // Another screen, or the browser's own zoom: as many pixels as there are now.
  let dots = window.devicePixelRatio;
  addEventListener("resize", () => {
    if (window.devicePixelRatio === dots) return;
    dots = window.devicePixelRatio;
    refresh();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refresh);
  addEventListener("hashchange", moment);
  moment();
})();
