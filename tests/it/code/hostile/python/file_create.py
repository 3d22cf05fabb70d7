# expect: CODE_FAILED
# Creates a file beside another.
open(data['directory'] + '/new', 'x')
