// expect: CODE_FAILED
// Fetches a page.
result = fetch(`http://127.0.0.1:${data.port}/`);
