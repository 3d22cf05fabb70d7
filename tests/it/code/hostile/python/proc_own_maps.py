# expect: CODE_FAILED
# Reads how its memory is laid out.
result = open('/proc/self/maps').read()
