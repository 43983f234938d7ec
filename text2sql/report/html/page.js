// The list of questions and the view of one answer. All texts of the data become text nodes, never HTML.
"use strict";
(async () => {
  const byId = (id) => document.getElementById(id);

  /** An element; children that are texts become text nodes. */
  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children.filter((child) => child !== null));
    return made;
  }

  /** The data of questions.py: Base64 of compressed JSON. */
  async function unpacked() {
    const bytes = Uint8Array.from(atob(byId("packed").textContent.trim()), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  function named(fields, values) {
    return Object.fromEntries(fields.map((field, at) => [field, values[at]]));
  }

  if (typeof DecompressionStream === "undefined") {
    byId("hits").textContent = "This browser is too old for the list of questions.";
    return;
  }
  const data = await unpacked();
  const kinds = Object.values(data.kinds);
  const text = (place) => data.strings[place];
  const questions = data.questions.map((values) => {
    const question = named(data.fields.question, values);
    question.answers = question.answers.map((answer) => named(data.fields.answer, answer));
    return question;
  });
  const rows = questions.flatMap((question) =>
    question.answers.map((answer, arm) => ({ question, arm, answer, name: data.arms[arm] })));

  // --- the list ---

  const WORDS = { true: "right", false: "wrong", null: "not scored" };
  const outcome = (answer) => WORDS[answer.right];
  const outcomeClass = (answer) => outcome(answer).replace("not scored", "unscored");
  const labels = (answer) => answer.kinds.map((kind) => kinds[kind]).join(", ");
  const address = (row) => `#question=${row.question.row}&arm=${encodeURIComponent(row.name)}`;

  const texts = new Map();
  function searched(row) {
    if (!texts.has(row)) {
      const found = [row.question.text, row.question.gold, row.answer.sql].map(text).join("\n").toLowerCase();
      texts.set(row, found);
    }
    return texts.get(row);
  }

  const SHORT = 300; // characters of a question in the list
  const short = (long) => (long.length > SHORT ? `${long.slice(0, SHORT)}…` : long);

  /** A column whose cells are elements; `value` is what is sorted by. */
  function column(title, value, shown, className = "") {
    const render = (_, type, row) => (type === "display" ? shown(row) : value(row));
    return { title, data: null, render, className };
  }
  const plain = (value) => (row) => element("span", {}, String(value(row) ?? "–"));
  const LEVELS = ["easy", "medium", "hard", "extra"];
  const level = (row) => row.question.level ?? "–";
  const columns = [
    column("No.", (row) => row.question.row, plain((row) => row.question.row), "minor"),
    column("Question", (row) => text(row.question.text),
      (row) => element("a", { href: address(row) }, short(text(row.question.text)) || "(empty)"), "question"),
    column("Arm", (row) => row.arm, plain((row) => row.name), "minor short"),
    column("Answer", (row) => outcome(row.answer),
      (row) => element("span", { class: outcomeClass(row.answer) }, outcome(row.answer)), "answer"),
    column("What differs", (row) => labels(row.answer), plain((row) => labels(row.answer))),
    column("Hardness", (row) => LEVELS.indexOf(level(row)), plain(level), "minor"),
    column("Database", (row) => row.question.db, plain((row) => row.question.db), "minor short"),
  ];

  const form = byId("filters");
  const field = (name) => form.elements[name];

  function choices(name, options, any = "all", chosen = "") {
    const select = byId(name);
    for (const [value, label] of [["", any], ...options]) {
      const option = element("option", { value }, label);
      option.defaultSelected = String(value) === String(chosen);
      select.append(option);
    }
    select.closest("label").hidden = options.length < 2;
  }
  const counted = (values) => {
    const found = new Map();
    for (const value of values) found.set(value, (found.get(value) ?? 0) + 1);
    return found;
  };
  const withCounts = (values) => [...counted(values)].sort().map(([value, n]) => [value, `${value} (${n})`]);

  const arms = data.arms.map((name, at) => [at, name]);
  const rightCounts = data.arms.map((_, at) => questions.filter((each) => each.answers[at].right === true).length);
  const best = rightCounts.indexOf(Math.max(...rightCounts));
  const usedKinds = [...new Set(rows.flatMap((row) => row.answer.kinds))].sort((one, other) => one - other);
  choices("arm", arms, "all", arms.length > 1 ? best : "");
  choices("right", arms, "any");
  choices("wrong", arms, "any");
  choices("kind", usedKinds.map((kind) => [kind, kinds[kind]]));
  choices("level", withCounts(questions.map((each) => each.level ?? "–")));
  choices("db", withCounts(questions.map((each) => each.db)));
  choices("set", withCounts(questions.map((each) => each.set)));

  let wanted = {};
  function readFilters() {
    wanted = Object.fromEntries(
      ["text", "arm", "outcome", "kind", "right", "wrong", "level", "db", "set"]
        .map((name) => [name, field(name).value]));
    wanted.words = wanted.text.toLowerCase().split(/\s+/).filter(Boolean);
  }

  function passes(row) {
    const { question, answer } = row;
    return (wanted.arm === "" || row.arm === Number(wanted.arm))
      && (wanted.outcome === "" || outcomeClass(answer) === wanted.outcome)
      && (wanted.kind === "" || answer.kinds.includes(Number(wanted.kind)))
      && (wanted.right === "" || question.answers[wanted.right].right === true)
      && (wanted.wrong === "" || question.answers[wanted.wrong].right === false)
      && (wanted.level === "" || level(row) === wanted.level)
      && (wanted.db === "" || question.db === wanted.db)
      && (wanted.set === "" || question.set === wanted.set)
      && wanted.words.every((word) => searched(row).includes(word));
  }

  const list = new DataTable("#list", {
    data: rows,
    columns,
    autoWidth: false,
    order: [],
    pageLength: 25,
    layout: { topStart: null, topEnd: null, bottomStart: "pageLength", bottomEnd: "paging" },
    language: { emptyTable: "There are no questions yet.", zeroRecords: "No answer passes the filters." },
  });
  list.search.fixed("page", (_, row) => passes(row));

  const numbers = new Intl.NumberFormat("en");
  function filter() {
    readFilters();
    list.draw();
    const found = list.rows({ search: "applied" }).data().toArray();
    const asked = new Set(found.map((row) => row.question)).size;
    byId("hits").textContent =
      `${numbers.format(found.length)} answers to ${numbers.format(asked)} of ${numbers.format(questions.length)} questions`;
  }
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  filter();

  // --- one answer ---

  const RUN = /([a-z.])(\d+)(!?)/g;

  /** SQL with its colours and marks; what follows the last run is plain. */
  function sql(source, runs, side) {
    const box = element("pre", { class: side, tabindex: "0" });
    let at = 0;
    for (const [, colour, size, mark] of runs.matchAll(RUN)) {
      const piece = source.slice(at, at + Number(size));
      at += Number(size);
      const span = colour === "." ? piece : element("span", { class: colour }, piece);
      box.append(mark ? element("mark", {}, span) : span);
    }
    box.append(source.slice(at));
    if (!source) box.append(element("span", { class: "null" }, "(no SQL)"));
    return box;
  }

  /** A value of results.py: its first character says what it is. */
  function value(cell) {
    if (cell === null) return [element("span", { class: "null" }, "NULL"), ""];
    const rest = cell.slice(1);
    if (cell[0] === "n") return [document.createTextNode(rest), "number"];
    if (cell[0] === "t") return [document.createTextNode(rest), ""];
    const colon = rest.indexOf(":");
    const size = numbers.format(Number(rest.slice(0, colon)));
    const unit = cell[0] === "b" ? "bytes" : "characters";
    const shown = cell[0] === "b" ? `x'${rest.slice(colon + 1)}'` : rest.slice(colon + 1);
    return [element("span", {}, shown, element("span", { class: "size" }, ` (${size} ${unit})`)), ""];
  }

  function caption(rowCount, columnCount, shownRows, shownColumns, more, places) {
    const size = `${more ? "More than " : ""}${numbers.format(rowCount)} ${rowCount === 1 ? "row" : "rows"}`;
    const parts = [];
    const first = places.at(-1) === shownRows - 1 ? "the first " : "";
    if (shownRows < rowCount || more) parts.push(`${first}${shownRows} rows`);
    if (shownColumns < columnCount) parts.push(`the first ${shownColumns} of ${columnCount} columns`);
    return parts.length ? `${size}; shown: ${parts.join(", ")}` : size;
  }

  function result(place, marks, side) {
    const [names, places, values, count, width, more, problem] = data.results[place];
    if (problem) return element("p", {}, problem);
    const [markedRows, markedColumns] = marks || [[], []];
    const cells = (row, at) => row.map((cell, column) => {
      const [shown, className] = value(cell);
      const differs = markedRows.includes(places[at]) || markedColumns.includes(column);
      return element("td", { class: `${className}${differs ? " differs" : ""}` }, differs ? element("mark", {}, shown) : shown);
    });
    const gap = () => element("tr", { class: "gap" }, element("td", { colspan: names.length }, "…"));
    const head = names.map((name, at) =>
      element("th", { scope: "col", class: markedColumns.includes(at) ? "differs" : "" }, name));
    const body = values.flatMap((row, at) => {
      const made = element("tr", {}, ...cells(row, at));
      return places[at] > (places[at - 1] ?? -1) + 1 ? [gap(), made] : [made];
    });
    const table = element("table", { class: "result" },
      element("caption", {}, caption(count, width, values.length, names.length, more, places)),
      element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body));
    const label = side === "gold" ? "Result of the gold SQL" : "Result of the predicted SQL";
    return element("div", { class: `scroll ${side}`, role: "region", tabindex: "0", "aria-label": label }, table);
  }

  const folded = (title, ...children) =>
    element("details", {}, element("summary", {}, title), ...children);

  function prompt(place) {
    return data.prompts[place].flatMap(([role, lines]) =>
      [element("h4", {}, role), element("pre", { tabindex: "0" }, lines.map(text).join("\n"))]);
  }

  function armTable(row) {
    const body = row.question.answers.map((answer, arm) => {
      const other = { ...row, arm, answer, name: data.arms[arm] };
      const current = arm === row.arm ? { "aria-current": "page" } : {};
      return element("tr", {},
        element("th", { scope: "row" }, element("a", { href: address(other), ...current }, other.name)),
        element("td", {}, element("span", { class: outcomeClass(answer) }, outcome(answer))),
        element("td", {}, text(answer.sentence)));
    });
    return element("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "All arms" },
      element("table", { class: "figures facts" },
        element("caption", { class: "unseen" }, "All arms on this question"),
        element("thead", {}, element("tr", {},
          ...["arm", "answer", "what differs"].map((name) => element("th", { scope: "col" }, name)))),
        element("tbody", {}, ...body)));
  }

  /** Links to the list, and to what is before and after this among the hits; an arm that is no hit is kept. */
  function path(row) {
    const hits = list.rows({ search: "applied", order: "applied" }).data().toArray();
    const exact = hits.findIndex((each) => each.question === row.question && each.arm === row.arm);
    const at = exact >= 0 ? exact : hits.findIndex((each) => each.question === row.question);
    const kept = (other) => (exact >= 0 ? other : { ...other, name: row.name });
    const link = (label, other) => (other ? element("a", { href: address(kept(other)) }, label) : null);
    return element("nav", { class: "path", "aria-label": "Answers" },
      element("a", { href: "#questions" }, "← All questions"),
      at > 0 ? link("Previous", hits[at - 1]) : null,
      at >= 0 ? link("Next", hits[at + 1]) : null,
      at >= 0 ? element("span", { class: "about" }, `${at + 1} of ${hits.length}`) : null);
  }

  function about({ question, name }) {
    const facts = [name, question.set, `database ${question.db}`, question.level, question.slice];
    return element("p", { class: "about" }, `Question ${question.row}: ${facts.filter(Boolean).join(" · ")}`);
  }

  function queries({ question, answer }) {
    return element("div", { class: "pair" },
      element("section", {}, element("h3", {}, "Gold SQL"), sql(text(question.gold), text(answer.goldRuns), "gold")),
      element("section", {}, element("h3", {}, "Predicted SQL"), sql(text(answer.sql), text(answer.runs), "predicted")));
  }

  function tables({ question, answer }) {
    return element("div", { class: "pair" },
      element("section", {}, element("h3", {}, "Gold result"), result(question.result, answer.goldMarks, "gold")),
      element("section", {}, element("h3", {}, "Predicted result"), result(answer.result, answer.marks, "predicted")));
  }

  function show(row) {
    const { question, answer } = row;
    const title = element("h2", { id: "question-title", tabindex: "-1" }, text(question.text) || "(empty question)");
    const comparison = text(answer.comparison);
    const problems = question.problems.map((each) => element("p", {}, `Problem of the schema: ${text(each)}`));
    const raw = text(answer.raw);
    byId("question").replaceChildren(
      path(row), about(row), title,
      element("p", { class: `verdict is-${outcomeClass(answer)}` },
        answer.right === false ? element("strong", {}, "Wrong. ") : null, text(answer.sentence)),
      queries(row), tables(row),
      ...(comparison ? [element("p", {}, `Results: ${comparison}`)] : []),
      element("h3", {}, "All arms on this question"), armTable(row),
      folded(`Schema of ${question.db}`, ...problems, element("pre", { tabindex: "0" }, text(question.schema))),
      folded("Prompt", ...prompt(answer.prompt)),
      ...(raw ? [folded("The whole answer", element("pre", { tabindex: "0" }, raw))] : []));
    return title;
  }

  let left = 0; // where the list was scrolled to when an answer was opened
  function open(row) {
    if (byId("question").hidden) left = window.scrollY;
    const title = show(row);
    byId("overview").hidden = true;
    byId("question").hidden = false;
    document.title = `Question ${row.question.row} – Text-to-SQL report`;
    window.scrollTo(0, 0);
    title.focus({ preventScroll: true });
  }

  function close() {
    if (byId("question").hidden) return;
    const last = byId("question").dataset.address;
    byId("question").hidden = true;
    byId("overview").hidden = false;
    document.title = "Text-to-SQL report";
    const section = byId(location.hash.slice(1));
    if (section && section.id !== "questions") {
      section.scrollIntoView();
      return;
    }
    window.scrollTo(0, left);
    const link = [...document.querySelectorAll("#list a")].find((each) => each.getAttribute("href") === last);
    (link ?? byId("questions-title")).focus({ preventScroll: Boolean(link) });
  }

  function follow() {
    const asked = new URLSearchParams(location.hash.slice(1));
    const row = asked.has("question") && rows.find((each) =>
      each.question.row === Number(asked.get("question")) && each.name === asked.get("arm"));
    if (!row) return close();
    open(row);
    byId("question").dataset.address = address(row);
  }

  window.addEventListener("hashchange", follow);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !byId("question").hidden) location.hash = "#questions";
  });
  follow();
})();
