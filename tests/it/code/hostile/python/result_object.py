# expect: CODE_RESULT_INVALID
# Leaves an object.
result = object()
