# expect: CODE_RESULT_INVALID
# Leaves keys that JSON has not.
result = {(1, 2): 3}
