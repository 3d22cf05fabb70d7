# expect: CODE_FAILED
# Writes to the memory of the service.
open('/proc/%d/mem' % data['pid'], 'r+b', 0).write(b'x')
