# expect: CODE_FAILED
# Reads the environment of the service by its id.
result = open('/proc/%d/environ' % data['pid']).read()
