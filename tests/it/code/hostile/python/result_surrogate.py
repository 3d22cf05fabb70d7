# expect: CODE_RESULT_INVALID
# Leaves half a character.
result = '\ud800'
