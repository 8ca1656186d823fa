# bash completion for storagectl                           -*- shell-script -*-
# SPDX-License-Identifier: LGPL-2.1-or-later

# Names of pools, or of the volumes of a pool, one a line. They may hold spaces.
__storagectl_names() {
        storagectl "${bus[@]}" --no-ask-password "$@" --names 2>/dev/null
}

# Names of the snapshots of a volume.
__storagectl_snapshots() {
        storagectl "${bus[@]}" --no-ask-password volume snapshot list "$@" --names 2>/dev/null
}

# Completes from lines on standard input, quoting what the shell would take apart.
__storagectl_lines() {
        local line
        while IFS= read -r line; do
                [[ $line == "$1"* ]] && COMPREPLY+=("$(printf '%q' "$line")")
        done
}

__storagectl_options() {
        local common='--help --version --system --user --json --no-legend --no-wait --no-ask-password --quiet'
        local describe='--target --source-host --source-dev --source-path --source-name --source-format
                --source-protocol-ver --source-initiator --auth-type --auth-username --secret --adapter
                --mount-option --mode --owner --group --label --cow --volume-allocation --raid-level --raid-dev
                --raid-spares --raid-chunk-size'
        local make='--format --allocation --preallocation --compat --cluster-size --lazy-refcounts --extended-l2
                --nocow --encryption --secret --partition-type --mode --owner --group'
        case $1 in
        'pool list') echo "$common --state --type --names" ;;
        'pool show') echo "$common --xml --inactive" ;;
        'pool define') echo "$common $describe --type --uuid --build --overwrite --dry-run --start --autostart
                --transient" ;;
        'pool create') echo "$common $describe --type --uuid --build --overwrite --dry-run" ;;
        'pool update') echo "$common $describe" ;;
        'pool find-sources') echo "$common --source-host --source-dev --source-name --source-format --xml" ;;
        'pool build') echo "$common --overwrite" ;;
        'pool stop' | 'volume delete') echo "$common --force" ;;
        'pool autostart') echo "$common --disable" ;;
        'volume list') echo "$common --details --prefix --format --names" ;;
        'volume show' | 'capabilities') echo "$common --xml" ;;
        'volume create') echo "$common $make --xml --backing --backing-format" ;;
        'volume clone') echo "$common $make --to-pool --reflink --linked --compress --capacity --xml" ;;
        'volume convert') echo "$common $make --to-pool --compress --capacity" ;;
        'volume resize') echo "$common --shrink --delta --allocate --force --secret" ;;
        'volume disk-xml') echo "$common --bus --device --target --readonly --format --secret" ;;
        'volume blockdev') echo "$common --node-name --readonly --format --secret" ;;
        'secret set') echo "$common --description --uuid --force" ;;
        'secret remove') echo "$common --force" ;;
        'volume rebase') echo "$common --unsafe" ;;
        'volume wipe') echo "$common --algorithm --force" ;;
        'volume snapshot list') echo "$common --names" ;;
        'volume snapshot '*) echo "$common --force --secret" ;;
        'volume import') echo "$common --format --length --sparse --sha256 --allocation --nocow --mode --owner
                --group" ;;
        'volume upload') echo "$common --offset --length --sparse --sha256 --force" ;;
        'volume download') echo "$common --offset --length --sparse --sha256 --overwrite --force" ;;
        'monitor') echo "$common --count --timeout" ;;
        *) echo "$common" ;;
        esac
}

# Values of options; fails for an option that takes none.
__storagectl_value() {
        case $1 in
        --state) COMPREPLY=($(compgen -W 'inactive starting active stopping' -- "$cur")) ;;
        --type) COMPREPLY=($(compgen -W 'dir fs netfs logical disk iscsi scsi mpath gluster' -- "$cur")) ;;
        --format | --backing-format) COMPREPLY=($(compgen -W 'raw qcow2 qcow qed vdi vmdk vpc vhdx' -- "$cur")) ;;
        --preallocation) COMPREPLY=($(compgen -W 'off metadata falloc full' -- "$cur")) ;;
        --reflink) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")) ;;
        --bus) COMPREPLY=($(compgen -W 'virtio scsi ide sata usb fdc' -- "$cur")) ;;
        --device) COMPREPLY=($(compgen -W 'disk cdrom floppy lun' -- "$cur")) ;;
        --algorithm) COMPREPLY=($(compgen -W 'zero trim random nnsa dod bsi gutmann schneier pfitzner7 pfitzner33' \
                -- "$cur")) ;;
        --to-pool) __storagectl_lines "$cur" < <(__storagectl_names pool list) ;;
        --auth-type) COMPREPLY=($(compgen -W 'chap ceph' -- "$cur")) ;;
        --raid-level) COMPREPLY=($(compgen -W 'raid0 raid1 raid4 raid5 raid6 raid10' -- "$cur")) ;;
        --cow) COMPREPLY=($(compgen -W 'yes no' -- "$cur")) ;;
        --volume-allocation) COMPREPLY=($(compgen -W 'default capacity' -- "$cur")) ;;
        --owner) COMPREPLY=($(compgen -u -- "$cur")) ;;
        --group) COMPREPLY=($(compgen -g -- "$cur")) ;;
        --target)
                if [[ $command != 'volume disk-xml' ]]; then
                        compopt -o filenames
                        COMPREPLY=($(compgen -f -- "$cur"))
                fi
                ;;
        --source-dev | --source-path | --raid-dev) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")) ;;
        --xml)
                [[ $command == 'volume create' || $command == 'volume clone' ]] || return 1
                compopt -o filenames
                COMPREPLY=($(compgen -f -- "$cur"))
                ;;
        --backing)
                if [[ $cur == /* || ! ${operands[0]-} ]]; then
                        compopt -o filenames
                        COMPREPLY=($(compgen -f -- "$cur"))
                else
                        __storagectl_lines "$cur" < <(__storagectl_names volume list "${operands[0]}")
                fi
                ;;
        --uuid | --source-host | --source-name | --source-format | --source-protocol-ver | --source-initiator | \
                --auth-username | --secret | --adapter | --mount-option | --mode | --label | --prefix | \
                --raid-spares | --raid-chunk-size | --allocation | --capacity | --offset | --length | --node-name | --description | --compat | --cluster-size | --encryption | --partition-type | --count | --timeout) ;;
        *) return 1 ;;
        esac
}

__storagectl_operand() {
        case $command in
        'pool define' | 'pool create') compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")) ;;
        'pool update')
                if ((${#operands[@]} == 0)); then
                        __storagectl_lines "$cur" < <(__storagectl_names pool list)
                else
                        compopt -o filenames
                        COMPREPLY=($(compgen -f -- "$cur"))
                fi
                ;;
        'pool show') ((${#operands[@]} > 0)) || __storagectl_lines "$cur" < <(__storagectl_names pool list) ;;
        'pool list') ;;
        'pool find-sources')
                ((${#operands[@]} > 0)) || COMPREPLY=($(compgen -W 'fs logical disk' -- "$cur"))
                ;;
        'pool add-device' | 'pool fail-device' | 'pool remove-device')
                if ((${#operands[@]} == 0)); then
                        __storagectl_lines "$cur" < <(__storagectl_names pool list)
                elif ((${#operands[@]} == 1)); then
                        compopt -o filenames
                        COMPREPLY=($(compgen -f -- "$cur"))
                fi
                ;;
        'pool '*) __storagectl_lines "$cur" < <(__storagectl_names pool list) ;;
        'volume import')
                if ((${#operands[@]} == 0)); then
                        __storagectl_lines "$cur" < <(__storagectl_names pool list)
                elif ((${#operands[@]} == 2)); then
                        compopt -o filenames
                        COMPREPLY=($(compgen -f -- "$cur"))
                fi
                ;;
        'volume list' | 'volume create' | 'volume tree')
                ((${#operands[@]} > 0)) || __storagectl_lines "$cur" < <(__storagectl_names pool list)
                ;;
        'volume '*)
                if [[ $cur == /* ]]; then
                        compopt -o filenames
                        COMPREPLY=($(compgen -f -- "$cur"))
                elif ((${#operands[@]} == 0)); then
                        __storagectl_lines "$cur" < <(__storagectl_names pool list)
                elif ((${#operands[@]} == 1)) || [[ $command == 'volume delete' || $command == 'volume rebase' ]]; then
                        __storagectl_lines "$cur" < <(__storagectl_names volume list "${operands[0]}" --prefix "$cur")
                elif [[ $command == 'volume snapshot '* ]]; then
                        __storagectl_lines "$cur" < <(__storagectl_snapshots "${operands[@]}")
                elif [[ $command == 'volume upload' || $command == 'volume download' ]]; then
                        compopt -o filenames
                        COMPREPLY=($(compgen -f -- "$cur"))
                fi
                ;;
        'secret set')
                if ((${#operands[@]} == 1)); then
                        compopt -o filenames
                        COMPREPLY=($(compgen -f -- "$cur"))
                fi
                ;;
        'job watch' | 'job cancel')
                COMPREPLY=($(compgen -W "$(storagectl "${bus[@]}" job list --no-legend 2>/dev/null |
                        while read -r job _; do echo "$job"; done)" -- "$cur"))
                ;;
        esac
}

_storagectl() {
        local cur=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' word skip=''
        local -a bus=() operands=()
        local -i i
        COMPREPLY=()

        for ((i = 1; i < COMP_CWORD; i++)); do
                word=${COMP_WORDS[i]}
                if [[ $skip ]]; then
                        skip=''
                elif [[ $word == --user || $word == --system ]]; then
                        bus=("$word")
                elif [[ $word == -* ]]; then
                        # a value that stands apart from its option is no operand
                        if [[ $word != *=* ]] && cur='' __storagectl_value "$word"; then
                                skip=1
                        fi
                        COMPREPLY=()
                elif [[ ! $command || $command =~ ^(pool|volume|job|secret|volume snapshot)$ || "$command $word" == 'volume snapshot' ]]; then
                        command=${command:+$command }$word
                else
                        operands+=("$word")
                fi
        done

        if [[ $skip ]]; then
                __storagectl_value "$previous"
                return 0
        fi
        if [[ $cur == -* ]]; then
                COMPREPLY=($(compgen -W "$(__storagectl_options "$command")" -- "$cur"))
                return 0
        fi
        case $command in
        '') COMPREPLY=($(compgen -W 'pool volume job secret monitor capabilities' -- "$cur")) ;;
        pool) COMPREPLY=($(compgen -W 'list show define create update build start stop delete undefine refresh
                autostart find-sources add-device fail-device remove-device' -- "$cur")) ;;
        volume) COMPREPLY=($(compgen -W 'list show create clone convert import delete resize wipe upload download cat flatten rebase
                commit tree users disk-xml blockdev snapshot' -- "$cur")) ;;
        'volume snapshot') COMPREPLY=($(compgen -W 'create list revert delete' -- "$cur")) ;;
        secret) COMPREPLY=($(compgen -W 'set list remove' -- "$cur")) ;;
        job) COMPREPLY=($(compgen -W 'list watch cancel' -- "$cur")) ;;
        *) __storagectl_operand ;;
        esac
}

complete -F _storagectl storagectl
