# bash completion for carpctl(8); bash-completion is not needed.

_carpctl() {
    # readline breaks words at = and :, carpctl does not: split the line at blanks.
    local line=${COMP_LINE:0:COMP_POINT}
    local -a words
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=('')
    local last=$((${#words[@]} - 1))

    # readline replaces only the part after the last break, so candidates lose the part before it.
    local kept=${words[last]%"${words[last]##*[=:]}"}

    COMPREPLY=()
    local candidate
    while IFS=$'\t' read -r candidate _; do
        COMPREPLY+=("${candidate#"$kept"}")
    done < <("${words[0]}" --complete "${words[@]:1}" 2>/dev/null)

    # The shell completes files.
    case " ${words[*]:1:last-1} " in
    ' check ' | *' passfile ' | *' -- '*) compopt -o default ;;
    esac
}

complete -F _carpctl carpctl
