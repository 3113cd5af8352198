# bash completion for carpd(8); bash-completion is not needed.

_carpd() {
    local options='--bus --check --config-dir --foreground --help --hooks-dir --keep --log-level
        --private-socket --realtime --run-dir --version'
    local current=${COMP_WORDS[COMP_CWORD]}
    # readline breaks words at =, which can precede a value.
    local before=${COMP_WORDS[COMP_CWORD-1]}
    if [[ $before == '=' ]]; then
        before=${COMP_WORDS[COMP_CWORD-2]}
    elif [[ $current == '=' ]]; then
        current=''
    fi
    local words
    case $before in
    --bus) words='system none unix:path=' ;;
    --log-level) words='error warn info debug trace' ;;
    --config-dir | --hooks-dir | --run-dir)
        compopt -o dirnames
        return
        ;;
    --private-socket)
        compopt -o default
        return
        ;;
    --check)
        compopt -o default
        words=$options
        ;;
    *) words=$options ;;
    esac
    local IFS=$' \t\n'
    read -ra COMPREPLY <<<"$(compgen -W "$words" -- "$current" | tr '\n' ' ')"
}

complete -F _carpd carpd
