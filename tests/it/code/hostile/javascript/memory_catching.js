// expect: SUCCESS
// Catches that there is no memory, and goes on.
let hoard = [];
result = [];
for (let i = 0; i < 3; i += 1) {
  try {
    for (;;) hoard.push(new Uint8Array(1000000));
  } catch {
    if (hoard.length > 100) result.push(hoard.length);
    hoard = [];
  }
}
