// Moments that somebody marked, with a note: kept in the browser for this address, saved as CSV.

const COLUMNS = ["match", "half", "time_s", "frame", "label", "kind", "run", "score", "note"];

export class Marks {
  constructor() {
    this.all = [];
    try {
      const kept = JSON.parse(sessionStorage.getItem("marks") ?? "[]");
      if (Array.isArray(kept)) this.all = kept.filter((mark) => mark && Number.isFinite(mark.time_s));
    } catch {
      // what cannot be read is not worth stopping for
    }
  }

  add(mark) {
    this.all.push(mark);
    this.all.sort((a, b) => (a.match < b.match ? -1 : a.match > b.match ? 1 : a.half - b.half || a.time_s - b.time_s));
    this.#keep();
  }

  remove(mark) {
    this.all = mark ? this.all.filter((one) => one !== mark) : [];
    this.#keep();
  }

  of(match, half) {
    return this.all.filter((mark) => mark.match === match && mark.half === half);
  }

  csv() {
    const rows = [COLUMNS, ...this.all.map((mark) => COLUMNS.map((name) => mark[name] ?? ""))];
    return rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
  }

  save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([this.csv()], { type: "text/csv" }));
    link.download = "marks.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  #keep() {
    try {
      sessionStorage.setItem("marks", JSON.stringify(this.all));
    } catch {
      // a full or forbidden storage: the marks stay until the page is left
    }
  }
}

/** One cell: quoted where it must be, and with an apostrophe before what a spreadsheet would run as a formula. */
function cell(value) {
  let text = String(value);
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
