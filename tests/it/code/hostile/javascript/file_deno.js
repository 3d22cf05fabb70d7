// expect: CODE_FAILED
// Reads as under Deno.
result = Deno.readTextFileSync(data.file);
