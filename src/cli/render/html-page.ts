/** Reports as one HTML file that needs no other: it loads nothing, runs nothing, and prints. */
import { plain } from "./style.ts";

/** Text as it may stand between tags and in quoted attributes: no character of it is markup. */
export function html(text: string): string {
  return plain(text).replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

/**
 * @param title is escaped here
 * @param body is markup: what comes of users in it has gone through `html`
 * @param css besides what every report has
 */
export function htmlPage(title: string, body: string, css: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${html(title)}</title>
<style>${CSS}${css}</style>
</head>
<body>
<h1>${html(title)}</h1>
${body}
</body>
</html>
`;
}

/** What the reader has to know before the rest; nothing where there is none. */
export function warningHtml(warning: string | undefined): string {
  return warning === undefined ? "" : `<p class="warning"><strong>Warning:</strong> ${html(warning)}</p>`;
}

/** Paper is white: the dark colours are for screens alone. */
const CSS = `
:root { color-scheme: light dark; --ink: #111; --paper: #fff; --line: #999; --good: #0a5c1e; --bad: #a30000; --doubt: #6b4a00; --link: #0b4a99; }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #eee; --paper: #16181c; --line: #666; --good: #7fd694; --bad: #ff9c94; --doubt: #f0c674; --link: #9cc4ff; } }
body { font: 14px/1.45 system-ui, sans-serif; margin: 2rem; color: var(--ink); background: var(--paper); overflow-wrap: anywhere; }
a { color: var(--link); }
table { border-collapse: collapse; width: 100%; }
th, td { border: 1px solid var(--line); padding: .4rem .6rem; text-align: left; vertical-align: top; }
p, ul { margin: .2rem 0; }
.warning { border: 2px solid var(--bad); padding: .4rem .6rem; }
@media print { body { margin: 0; font-size: 10px; } thead { display: table-header-group; } tr { break-inside: avoid; } @page { size: A4 landscape; margin: 12mm; } }
`;
