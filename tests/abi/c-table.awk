# Makes a C program of asyncinotify.h that prints its constants, structs and fields as the compiler has them, and the
# signatures in terms of what a register sees: i32, u32, u64, isize, usize, ptr, void.

function trim(s) { gsub(/^[ \t]+|[ \t]+$/, "", s); return s }

# The class of a type or of a parameter with its name.
function class(s) {
    s = trim(s)
    if (s ~ /\*/) return "ptr"
    sub(/^const /, "", s)
    sub(/ .*/, "", s)
    if (s in classes) return classes[s]
    return "unknown:" s
}

function signature(what, name, result, parameters,    n, list, i, line) {
    line = what " " name " " class(result) " ("
    n = split(parameters, list, ",")
    if (n == 1 && trim(list[1]) == "void") n = 0
    for (i = 1; i <= n; i++) line = line (i > 1 ? " " : "") class(list[i])
    print "    puts(\"" line ")\");"
}

function statement(s,    name, body, n, list, i, field, kind, at) {
    s = trim(s)
    if (s ~ /^typedef struct [a-z_]+ *\{/) {
        name = s
        sub(/^.*\}/, "", name)
        name = trim(name)
        body = s
        sub(/^[^{]*\{/, "", body)
        sub(/\}[^}]*$/, "", body)
        printf "    printf(\"size %s %%zu\\nalign %s %%zu\\n\", sizeof(%s), _Alignof(%s));\n", name, name, name, name
        n = split(body, list, ";")
        for (i = 1; i <= n; i++) {
            field = trim(list[i])
            if (field == "") continue
            kind = class(field)
            sub(/\[.*/, "", field)
            sub(/^.*[ *]/, "", field)
            printf "    printf(\"field %s.%s %%zu %%zu %s\\n\", offsetof(%s, %s), sizeof(((%s *)0)->%s));\n",
                name, field, kind, name, field, name, field
        }
    } else if (s ~ /^typedef .*\(\*[a-z_]+\)/) {
        name = s
        sub(/^[^(]*\(\*/, "", name)
        sub(/\).*/, "", name)
        body = s
        sub(/^[^)]*\)[^(]*\(/, "", body)
        sub(/\)$/, "", body)
        sub(/^typedef /, "", s)
        sub(/\(.*/, "", s)
        classes[name] = "ptr"
        signature("callback", name, s, body)
    } else if (s ~ /^typedef struct [a-z_]+ [a-z_]+$/) {
        return # opaque
    } else if (s ~ /^typedef [a-z0-9_]+ [a-z_]+$/) {
        split(s, list, " ")
        classes[list[3]] = class(list[2])
    } else if (s ~ /asyncinotify_[a-z_]+\(/) {
        at = index(s, "(")
        name = substr(s, 1, at - 1)
        body = substr(s, at + 1)
        sub(/\)$/, "", body)
        field = name
        sub(/^.*[ *]/, "", name)
        signature("function", name, substr(field, 1, length(field) - length(name)), body)
    } else if (s != "") {
        print "#error not understood: " s
    }
}

BEGIN {
    classes["int"] = "i32"
    classes["int32_t"] = "i32"
    classes["uint32_t"] = "u32"
    classes["uint64_t"] = "u64"
    classes["intptr_t"] = "isize"
    classes["size_t"] = "usize"
    classes["void"] = "void"
    print "#include <asyncinotify.h>\n#include <stddef.h>\n#include <stdio.h>\n\nint main(void)\n{"
}

{
    # Comments, which may span lines.
    line = ""
    rest = $0
    while (rest != "") {
        if (in_comment) {
            if (!(at = index(rest, "*/"))) break
            rest = substr(rest, at + 2)
            in_comment = 0
        } else if (at = index(rest, "/*")) {
            line = line substr(rest, 1, at - 1)
            rest = substr(rest, at + 2)
            in_comment = 1
        } else {
            line = line rest
            rest = ""
        }
    }
}
line ~ /^#ifdef __cplusplus/ { cplusplus = 1 }
line ~ /^#define ASYNCINOTIFY_[A-Z_]+ +[^ ]/ {
    split(line, words, " ")
    if (words[2] ~ /_STRING$/) printf "    printf(\"constant %s %%s\\n\", %s);\n", words[2], words[2]
    else printf "    printf(\"constant %s %%lld\\n\", (long long)%s);\n", words[2], words[2]
}
{ directive = line ~ /^#/ || continued; continued = directive && line ~ /\\$/ }
!directive && !cplusplus {
    # A statement ends with a semicolon outside of braces.
    for (i = 1; i <= length(line); i++) {
        char = substr(line, i, 1)
        if (char == "{") depth++
        if (char == "}") depth--
        if (char == ";" && depth == 0) {
            statement(text)
            text = ""
        } else text = text char
    }
    text = text " "
}
line ~ /^#endif/ { cplusplus = 0 }

END {
    if (names) {
        print "    char name[400];"
        print "    for (int bit = 0; bit < 32; bit++) {"
        print "        asyncinotify_mask_format(UINT32_C(1) << bit, name, sizeof name);"
        print "        printf(\"name %d %s\\n\", bit, name);"
        print "    }"
    }
    print "    return 0;\n}"
}
