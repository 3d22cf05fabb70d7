# expect: CODE_FAILED
# Writes where it stands.
open('here', 'w').write('x')
