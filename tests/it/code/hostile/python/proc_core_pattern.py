# expect: CODE_FAILED
# Has the kernel start a program of its own.
open('/proc/sys/kernel/core_pattern', 'w').write('|/tmp/x')
