# expect: CODE_FAILED
# Writes where everybody may.
open('/tmp/synapps-hostile', 'w').write('x')
