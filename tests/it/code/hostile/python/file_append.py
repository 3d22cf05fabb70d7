# expect: CODE_FAILED
# Adds to a file of the host.
open(data['file'], 'a').write('gone')
