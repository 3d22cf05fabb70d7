# expect: CODE_FAILED
# Raises what no database keeps.
raise ValueError('a\0b\ud800')
