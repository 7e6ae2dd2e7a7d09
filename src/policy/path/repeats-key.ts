/**
 * Whether an object of the text has a key twice, of which the platform's parser would silently take the last. Linear.
 * @param json what JSON.parse takes: nothing else is looked at.
 */
export function repeatsKey(json: string): boolean {
  const open: (Set<string> | null)[] = [];
  let text: string | undefined;
  for (const [token] of json.matchAll(TOKEN)) {
    if (token.startsWith('"')) text = token;
    else if (token === "{") open.push(new Set());
    else if (token === "[") open.push(null);
    else if (token === ":") {
      const keys = open.at(-1);
      const key = JSON.parse(text ?? '""') as string;
      if (keys?.has(key)) return true;
      keys?.add(key);
    } else open.pop();
  }
  return false;
}

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]:]/g;
