# SPDX-License-Identifier: LGPL-2.1-or-later
"""The polkit actions and the interfaces speak of the same things, and the file is what polkit expects."""

import glob
import os
import re
import xml.etree.ElementTree as ET

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PREFIX = 'org.example.storage1.'
ANNOTATION = 'org.example.Storage1.PolkitAction'
IMPLY = 'org.freedesktop.policykit.imply'
DECISIONS = {'no', 'yes', 'auth_self', 'auth_self_keep', 'auth_admin', 'auth_admin_keep'}
# What calls have in their details, and so can be shown to people.
DETAILS = {'pool', 'type', 'volume', 'capacity', 'force', 'wish'}


def policy():
    return ET.parse(f'{SOURCE}/policy/org.example.storage1.policy').getroot()


def actions():
    return {a.get('id'): a for a in policy().findall('action')}


def used_actions():
    found = set()
    for path in glob.glob(f'{SOURCE}/interfaces/*.xml'):
        for annotation in ET.parse(path).getroot().iter('annotation'):
            if annotation.get('name') == ANNOTATION:
                found |= set(annotation.get('value').split())
    return found


def test_interfaces_and_policy_name_the_same_actions():
    assert len(used_actions()) > 10
    assert used_actions() == set(actions())


def test_no_action_is_there_twice():
    assert len(policy().findall('action')) == len(actions())


def test_structure():
    """polkit's DTD: order and number of the elements."""
    root = policy()
    assert root.tag == 'policyconfig'
    tags = ' '.join(e.tag for e in root)
    assert re.fullmatch(r'(vendor )?(vendor_url )?(icon_name )?action( action)*', tags)
    for action in root.findall('action'):
        assert action.get('id').startswith(PREFIX)
        tags = ' '.join(e.tag for e in action)
        assert re.fullmatch(r'description message defaults( annotate)*', tags), action.get('id')


def test_defaults():
    for name, action in actions().items():
        defaults = {e.tag: e.text for e in action.find('defaults')}
        assert defaults.keys() == {'allow_any', 'allow_inactive', 'allow_active'}, name
        assert set(defaults.values()) <= DECISIONS, name
        # From afar nothing is free, and nobody's password but an administrator's counts.
        assert defaults['allow_any'] == defaults['allow_inactive'] == 'auth_admin', name
    active = {name.removeprefix(PREFIX): action.find('defaults/allow_active').text
              for name, action in actions().items()}
    for name in ('build-pool', 'delete-pool', 'wipe-volume', 'manage-secrets'):
        assert active[name] == 'auth_admin', 'asked about each time'
    assert [name for name, decision in active.items() if decision == 'yes'] == ['refresh-pool']


def test_texts():
    for name, action in actions().items():
        description, message = action.find('description').text, action.find('message').text
        assert len(description) > 10 and not description.endswith('.'), name
        assert message.startswith('Authentication is required to '), name
        assert set(re.findall(r'\$\((\w+)\)', message)) <= DETAILS, name
        kind = name.rsplit('-', 1)[1]
        assert kind not in DETAILS or f'$({kind})' in message, name


def test_imply():
    for name, action in actions().items():
        for annotate in action.findall('annotate'):
            assert annotate.get('key') == IMPLY
            implied = annotate.text.split()
            assert set(implied) <= set(actions()) - {name}
            # Not more than the one who may do it could do by it anyway, and never what destroys or reveals.
            assert {i.rsplit('-', 1)[1] for i in implied} == {'pool'}, name
            assert not {PREFIX + 'delete-pool', PREFIX + 'build-pool'} & set(implied), name
