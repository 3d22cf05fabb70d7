# expect: CODE_FAILED
# Restarts the machine.
open('/proc/sysrq-trigger', 'w').write('b')
