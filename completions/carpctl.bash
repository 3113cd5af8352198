# bash completion for carpctl(8); bash-completion is not needed.

_carpctl() {
    # readline breaks words at = and :, carpctl does not: take the line as it is typed.
    local line=${COMP_LINE:0:COMP_POINT}
    local -a words
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=('')
    local last=$((${#words[@]} - 1))

    # What readline replaces is the part behind the last break, so that is what it must be given.
    local kept=${words[last]%"${words[last]##*[=:]}"}

    COMPREPLY=()
    local candidate
    while IFS=$'\t' read -r candidate _; do
        COMPREPLY+=("${candidate#"$kept"}")
    done < <("${words[0]}" --complete "${words[@]:1}" 2>/dev/null)

    # Files are the shell's own to complete.
    case " ${words[*]:1:last-1} " in
    ' check ' | *' passfile ' | *' -- '*) compopt -o default ;;
    esac
}

complete -F _carpctl carpctl
