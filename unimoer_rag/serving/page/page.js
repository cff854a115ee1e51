// The page at `/`. It asks this server's own endpoints; texts are set as text, never as markup.

const at = (id) => document.getElementById(id);
const STAGES = ["dense", "sparse", "fused", "rerank"];
const PAGE = 50;
let shown = 0;

// -- asking ---------------------------------------------------------------------------------

class Refused extends Error {}

async function ask(path, { method = "GET", json, body } = {}) {
  const headers = {};
  const key = sessionStorage.getItem("key");
  if (key) headers.Authorization = `Bearer ${key}`;
  if (json !== undefined) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(json);
  }
  const response = await fetch(path, { method, headers, body });
  const told = await response.json().catch(() => ({}));
  if (response.status === 401) at("key-form").hidden = false;
  if (!response.ok) throw new Refused(told.error?.message ?? `the server answered ${response.status}`);
  return told;
}

// Runs what a person asked for, and says what went wrong.
async function tried(work) {
  at("failed").textContent = "";
  try {
    return await work();
  } catch (error) {
    at("failed").textContent = error instanceof Refused ? error.message : "The server cannot be reached.";
    if (!(error instanceof Refused || error instanceof TypeError)) throw error;
  }
}

function chosen() {
  const mode = at("mode").value;
  const depth = at("depth").value;
  return { ...(mode && { mode }), ...(depth && { rerank: Number(depth) }) };
}

async function onAsk(event) {
  event.preventDefault();
  const question = at("question").value.trim();
  if (!question) return;
  const button = event.submitter ?? document.querySelector("#ask .main");
  button.disabled = true;
  await tried(async () => {
    const answer = await ask("v1/ask", { method: "POST", json: { question, ...chosen() } });
    showAnswer(answer);
    showHits(question, answer.hits, answer.citations);
    const warned = [...(answer.warnings ?? [])];
    if (!answer.reader_trained && answer.answered_by === "reader") warned.push("This model has not learnt to read: no answer means little.");
    at("answer-note").textContent += warned.length ? ` ${warned.join(" ")}` : "";
  });
  button.disabled = false;
}

// -- answers and passages -------------------------------------------------------------------

function showAnswer(answer) {
  const sure = answer.confidence;
  at("answer-text").textContent = answer.answer ?? "No answer found: the documents do not say.";
  at("answer-note").textContent = answer.answer && sure !== null ? `Confidence ${(100 * sure).toFixed(0)}%.` : "";
  at("answer").hidden = false;
}

function showHits(question, hits, citations) {
  const first = firstPlaces(hits);
  at("hits").replaceChildren(...hits.map((hit, place) => hitItem(question, hit, place, first, citations)));
  at("hits-part").hidden = false;
}

// Where each hit stood among these before reranking.
function firstPlaces(hits) {
  const before = (hit) => hit.fused ?? hit.dense ?? hit.sparse ?? 0;
  const order = [...hits].sort((a, b) => before(b) - before(a));
  return new Map(order.map((hit, place) => [hit.id, place]));
}

function hitItem(question, hit, place, first, citations) {
  const item = at("hit").content.cloneNode(true);
  const find = (selector) => item.querySelector(selector);
  const passage = find(".passage");
  const spans = citations.filter((one) => one.passage_id === hit.id)
    .map((one) => [one.start - hit.start, one.end - hit.start, ""]);
  find("h3").textContent = `${place + 1}. ${hit.title || hit.source}`;
  const page = hit.page === null ? "" : `, page ${hit.page}`;
  const moved = hit.rerank === null ? 0 : first.get(hit.id) - place;
  const arrow = moved > 0 ? `, ▲ up ${moved} by reranking` : moved < 0 ? `, ▼ down ${-moved} by reranking` : "";
  find(".place").textContent = `${hit.source}, characters ${hit.start} to ${hit.end}${page}${arrow}`;
  find(".scores").append(...STAGES.filter((stage) => hit[stage] !== null).flatMap((stage) => bar(stage, hit[stage])));
  marked(passage, hit.text, spans);
  const why = find(".why");
  const explained = find(".explained");
  why.addEventListener("click", () => tried(async () => {
    const open = why.getAttribute("aria-expanded") !== "true";
    if (open && !explained.dataset.filled) {
      const text = hit.title ? `${hit.title}. ${hit.text}` : hit.text;
      explain(explained, passage, hit, question, await ask("v1/explain", { method: "POST", json: { query: question, text } }), text);
      explained.dataset.filled = "yes";
    }
    why.setAttribute("aria-expanded", String(open));
    explained.hidden = !open;
    if (!open) marked(passage, hit.text, spans);
  }));
  return item;
}

function bar(stage, value) {
  const [name, meter, number] = ["dt", "meter", "dd"].map((tag) => document.createElement(tag));
  const holder = document.createElement("dd");
  name.textContent = stage;
  // BM25 has no largest value: its bar shows it against one that is high.
  meter.max = stage === "sparse" ? 30 : stage === "fused" ? 0.04 : 1;
  meter.value = Math.max(0, value);
  meter.setAttribute("aria-label", `${stage} score`);
  holder.append(meter);
  number.textContent = value.toFixed(3);
  return [name, holder, number];
}

// A text with parts of it marked. Offsets count characters, of which JavaScript may store two.
function marked(element, text, spans) {
  const letters = Array.from(text);
  const parts = [];
  let done = 0;
  for (const [start, end, kind] of [...spans].sort((a, b) => a[0] - b[0])) {
    if (start < done || end > letters.length) continue;
    const mark = document.createElement("mark");
    mark.className = kind;
    mark.textContent = letters.slice(start, end).join("");
    parts.push(letters.slice(done, start).join(""), mark);
    done = end;
  }
  element.replaceChildren(...parts, letters.slice(done).join(""));
}

// -- why ------------------------------------------------------------------------------------

function explain(element, passage, hit, question, told, text) {
  const words = Array.from(question);
  const whole = Array.from(text);
  const before = whole.length - Array.from(hit.text).length; // the title, which is read first
  const met = element.querySelector("p.met");
  const buttons = told.matches.map((match) => {
    const button = document.createElement("button");
    const from = told.query[match.query];
    const to = told.text[match.text];
    const name = from.start === null ? from.text : words.slice(from.start, from.end).join("");
    button.type = "button";
    button.textContent = name;
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      for (const one of buttons) one.setAttribute("aria-pressed", String(one === button));
      const word = to.start === null ? to.text : whole.slice(to.start, to.end).join("");
      const place = to.start !== null && to.start < before ? " in the title" : "";
      met.textContent = `“${name}” met “${word}”${place}, cosine ${match.cosine.toFixed(2)}`;
      const here = to.start !== null && to.start >= before;
      marked(passage, hit.text, here ? [[to.start - before, to.end - before, "met"]] : []);
    });
    return button;
  });
  element.querySelector(".tokens").replaceChildren(...buttons);
  met.textContent = `Relevance ${told.score.toFixed(3)}, cosine of the two texts ${told.cosine.toFixed(3)}.`;
  routing(element.querySelector(".routing"), told.routing);
}

function routing(table, tasks) {
  const rows = Object.entries(tasks).flatMap(([task, { strength, weights }]) =>
    Object.entries(weights).map(([expert, layers]) => [`${task}: ${expert} × ${strength}`, ...layers.map((w) => w.toFixed(2))]));
  const layers = Math.max(0, ...rows.map((row) => row.length - 1));
  if (!rows.length) {
    table.caption.textContent = "No expert is switched on for these tasks: this is the frozen backbone.";
    return;
  }
  const head = table.createTHead().insertRow();
  for (const name of ["Task: expert × strength", ...Array.from({ length: layers }, (_, n) => String(n + 1))]) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = name;
    head.append(cell);
  }
  const body = table.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    row.forEach((value) => { line.insertCell().textContent = value; });
  }
}

// -- documents ------------------------------------------------------------------------------

async function listDocuments(offset = 0) {
  const told = await ask(`v1/documents?limit=${PAGE}&offset=${offset}`);
  const rows = told.data.map(documentRow);
  if (offset === 0) at("documents").replaceChildren(...rows);
  else at("documents").append(...rows);
  shown = offset + rows.length;
  at("more").hidden = shown >= told.total;
}

function documentRow(held) {
  const row = document.createElement("tr");
  row.insertCell().textContent = held.name;
  row.insertCell().textContent = held.passages;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Remove";
  button.setAttribute("aria-label", `Remove ${held.name}`);
  button.addEventListener("click", () => tried(async () => {
    await ask("v1/documents", { method: "DELETE", json: { sources: [held.name] } });
    await refresh();
  }));
  row.insertCell().append(button);
  return row;
}

async function upload(files) {
  const bar = at("progress");
  let added = 0;
  const failures = [];
  bar.hidden = false;
  bar.max = files.length;
  for (const [done, file] of [...files].entries()) {
    bar.value = done;
    at("added").textContent = `Reading ${file.name} (${done + 1} of ${files.length})`;
    try {
      const told = await ask(`v1/documents/${encodeURIComponent(file.name)}`, { method: "PUT", body: file });
      added += told.added;
    } catch (error) {
      failures.push(`${file.name}: ${error.message}`);
    }
  }
  bar.hidden = true;
  at("added").textContent = `${added} passages added. ${failures.join(" ")}`;
  await tried(refresh);
}

async function refresh() {
  const ready = await ask("ready");
  const models = await ask("v1/models");
  at("served").textContent = `${models.data[0].id}, ${ready.passages} passages`;
  await listDocuments();
}

// -- the page itself ------------------------------------------------------------------------

function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  at("theme").setAttribute("aria-pressed", String(dark));
}

at("theme").addEventListener("click", () => {
  const dark = document.documentElement.dataset.theme !== "dark";
  localStorage.setItem("theme", dark ? "dark" : "light");
  setTheme(dark);
});
at("ask").addEventListener("submit", onAsk);
at("more").addEventListener("click", () => tried(() => listDocuments(shown)));
at("files").addEventListener("change", (event) => upload(event.target.files));
at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", at("key").value);
  at("key-form").hidden = true;
  tried(refresh);
});
for (const [name, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  at("drop").addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", over);
    if (name === "drop") upload(event.dataTransfer.files);
  });
}
setTheme((localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark");
tried(refresh);
