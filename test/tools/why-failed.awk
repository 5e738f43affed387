# Of a file of TAP as node writes it: for each failed test one line with its file, name, why and the first place of its stack.
# The last lines of a run are all that some logs keep, so each must do by itself.
function tell() {
    if (name != "" && why != "") { print substr(file ": " name ": " why, 1, 500) (place != "" ? " (" place ")" : ""); told = 1 }
    name = why = place = field = ""
}
/^ *not ok [0-9]+ - / { tell(); sub(/^ *not ok [0-9]+ - /, ""); name = $0; next }
name == "" { next }
/^ *\.\.\.$/ { tell(); next }
/^ *[a-z_A-Z]+:( |$)/ && !(field != "" && match($0, /^ */) && RLENGTH > depth) {
    match($0, /^ */); depth = RLENGTH
    field = $1
    if (field == "error:") { sub(/^ *error: */, ""); if ($0 !~ /^[|>]/) why = $0 }
    next
}
{ sub(/^ +/, ""); sub(/ +$/, "") }
field == "error:" && $0 != "" { why = why (why == "" ? "" : " ") $0 }
field == "stack:" && place == "" && match($0, /[^\/ (]+:[0-9]+:[0-9]+/) { place = substr($0, RSTART, RLENGTH) }
END { tell(); if (!told) print file }
