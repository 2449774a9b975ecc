"use strict";

const LEVELS = 5; // of colour, as in evaluate/highlight.py
const FAINTEST = 0.05;
const byId = (id) => document.getElementById(id);

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function row(name, ...cells) {
  const made = document.createElement("tr");
  made.append(element("th", name, { scope: "row" }), ...cells);
  return made;
}

const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);

function part({ text, contribution }, largest) {
  if (contribution === null) return text.trim() ? element("s", text) : document.createTextNode(text);
  const share = largest ? Math.abs(contribution) / largest : 0;
  if (share < FAINTEST) return document.createTextNode(text);
  const name = (contribution > 0 ? "for" : "against") + Math.ceil(share * LEVELS);
  return element("mark", text, { class: name, title: signed(contribution) });
}

function show({ label, probabilities, explanation }) {
  byId("label").textContent = label;
  byId("probabilities").replaceChildren(
    ...Object.entries(probabilities).map(([name, value]) => {
      const bar = document.createElement("td");
      bar.append(element("meter", "", { min: 0, max: 1, value, "aria-label": name }));
      return row(name, bar, element("td", value.toFixed(3)));
    }),
  );
  byId("explanation").hidden = !explanation;
  if (explanation) {
    const words = [...explanation.premise, ...explanation.hypothesis].filter((word) => word.contribution !== null);
    const largest = Math.max(0, ...words.map((word) => Math.abs(word.contribution)));
    for (const name of ["premise", "hypothesis"]) {
      byId(`${name}-parts`).replaceChildren(...explanation[name].map((each) => part(each, largest)));
    }
    byId("numbers").replaceChildren(
      ...words.map((word) => row(word.text, element("td", signed(word.contribution)))),
    );
  }
  byId("answer").hidden = false;
}

function say(text, kind = "") {
  byId("status").textContent = text;
  byId("status").className = kind;
}

let last = 0; // an answer that comes after a later question's is not shown

async function ask() {
  const number = ++last;
  const question = {
    premise: byId("premise").value,
    hypothesis: byId("hypothesis").value,
    explain: byId("explain").checked,
  };
  say("Asking…");
  try {
    const response = await fetch("predict", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(question),
    });
    const answer = await response.json();
    if (number !== last) return;
    if (!response.ok) throw new Error(answer.error);
    show(answer);
    say(`Answer: ${answer.label}.`, "spoken");
  } catch (error) {
    if (number !== last) return;
    byId("answer").hidden = true;
    say(error instanceof TypeError ? "The service does not answer." : error.message, "wrong");
  }
}

byId("pair").addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
for (const name of ["premise", "hypothesis"]) {
  byId(name).addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      byId("pair").requestSubmit();
    }
  });
}
for (const button of document.querySelectorAll("[data-premise]")) {
  button.addEventListener("click", () => {
    byId("premise").value = button.dataset.premise;
    byId("hypothesis").value = button.dataset.hypothesis;
    byId("pair").requestSubmit();
  });
}

// A link may bring a pair: /?premise=...&hypothesis=...
const linked = new URLSearchParams(location.search);
if (linked.has("premise") && linked.has("hypothesis")) {
  for (const name of ["premise", "hypothesis"]) byId(name).value = linked.get(name);
  byId("pair").requestSubmit();
}
