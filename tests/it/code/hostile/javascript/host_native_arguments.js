// expect: SUCCESS
// Gives the host's functions what they do not expect.
result = [];
for (const odd of [undefined, null, {}, [], NaN, -1, 1n, Symbol(), () => {}, new Proxy({}, {})]) {
  try { setTimeout(odd, odd); result.push("took " + String(odd)); } catch { /* refused */ }
  try { clearTimeout(odd); } catch { result.push("threw"); }
  try { console.log(odd); } catch { /* refused */ }
}
result = result.filter((line) => !line.includes("=>") && !line.includes("function"));
