# expect: CODE_RESULT_INVALID
# Leaves what is no number.
result = float('nan')
