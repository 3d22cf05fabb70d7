# expect: CODE_FAILED
# Reads the accounts of the host.
result = open('/etc/passwd').read()
