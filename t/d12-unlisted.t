# SPDX-License-Identifier: GPL-2.0-or-later
# An event that no table lists: nothing leads to one from outside, so a test build has one happen. It is dropped, counted, and said in the log, once.
use strict;
use warnings;
use Test::More;
use Velador qw(build_dir plan_of);
use Velador::Peer;

$ENV{VELADOR_PROGRAM} = build_dir() . '/t/velador-inject';
-x $ENV{VELADOR_PROGRAM} or plan(skip_all => 'velador-inject is not built');
$ENV{VELADOR_INJECT} = 'txn.unlisted:2';    # the second event in each process; the first is the 100 to the caller

my $carrier = Velador::Peer->new(name => 'carrier');
my $v = Velador->start(velador => { workers => 1 }, plan_of(carrier => $carrier->addr));
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);

my $d = $phone->dialog;
$d->invite;
my $invite = $carrier->want('INVITE') or BAIL_OUT('no INVITE');
$phone->want(100);
$carrier->reply($invite, 180, contact => 1);
is($v->wait_stat('unlisted_event', 1), 1, 'it is counted');
ok($phone->never(180, 0.1), 'and dropped');
my $line = qr/an event that no table lists: INVITE client transaction, state calling, event 1xx; dropped\. Please report this\./;
ok(Velador::wait_for(sub { $v->log_text =~ $line }, 3), 'the log says what happened in which state') or $v->tell;
$carrier->reply($invite, 180, contact => 1);
ok($phone->want(180), 'the call goes on');
$carrier->reply($invite, 200, sdp => 1);
$d->learn($phone->want('200/INVITE'))->ack;
ok($carrier->want('ACK') && $phone->hang_up($d, $carrier->dialog_of($invite)), 'to its end');
ok($v->wait_no_calls, 'no call is left');
is(scalar(() = $v->log_text =~ /an event that no table lists/g), 1, 'the line stands there once');
is_deeply(($v->ctl('check') // {})->{problems}, [], 'veladorctl check finds nothing');
is($v->stop, 0, 'stops orderly');
done_testing;
