# expect: CODE_FAILED
# Reads a file of the host.
result = open(data['file']).read()
