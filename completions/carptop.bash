# bash completion for carptop(8); bash-completion is not needed.

_carptop() {
    local options='--ascii --filter --help --interval --json --once --theme --version'
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
    --theme) words='auto dark light 16 mono' ;;
    --filter) words='master backup init !' ;;
    --interval) words='0.1 0.5 1 5' ;;
    *) words=$options ;;
    esac
    local IFS=$' \t\n'
    read -ra COMPREPLY <<<"$(compgen -W "$words" -- "$current" | tr '\n' ' ')"
}

complete -F _carptop carptop
