# expect: CODE_FAILED
# Goes through its root in proc.
result = open('/proc/self/root/etc/passwd').read()
