# expect: CODE_FAILED
# Reads from standard input, which is empty.
result = input()
