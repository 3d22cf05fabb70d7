// expect: CODE_FAILED
// Opens a socket as under Node.
require('net').connect(data.port);
