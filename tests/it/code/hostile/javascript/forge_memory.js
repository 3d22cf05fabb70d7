// expect: CODE_MEMORY_EXCEEDED
// Claims that there is no memory, which only says so of itself.
throw new InternalError('out of memory');
