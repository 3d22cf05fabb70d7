# expect: CODE_FAILED
# Overwrites a file of the host.
open(data['file'], 'w').write('gone')
