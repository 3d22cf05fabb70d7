// expect: CODE_FAILED
// Takes Node's loader by the back door.
result = process.mainModule.require('fs').readdirSync('/');
