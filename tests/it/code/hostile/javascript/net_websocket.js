// expect: CODE_FAILED
// Opens a web socket.
new WebSocket(`ws://127.0.0.1:${data.port}/`);
