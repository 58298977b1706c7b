# SPDX-License-Identifier: GPL-2.0-or-later
# What kills whoever touches it is set aside: a message, whether it has just come or was put off, and a call that is due.
use strict;
use warnings;
use Test::More;
use Velador qw(build_dir plan_of wait_for);
use Velador::Peer;

$ENV{VELADOR_PROGRAM} = build_dir() . '/t/velador-inject';
-x $ENV{VELADOR_PROGRAM} or plan(skip_all => 'velador-inject is not built');
my $carrier = Velador::Peer->new(name => 'carrier');
my $phone = Velador::Peer->new(name => 'phone');
sub restarts { my ($v, $kind) = @_; return (grep { $_->{kind} eq $kind } @{ ($v->ctl('status') // {})->{processes} // [] })[0]{restarts} }

# A crash at each answer that belongs to no call.
{
	local @ENV{qw(VELADOR_INJECT VELADOR_INJECT_SIGNAL)} = ('shm.outbox.copied:1', 11);
	my $v = Velador->start(velador => { workers => 1 }, plan_of(carrier => $carrier->addr));
	$phone->{to} = $v->addr;
	$phone->send($phone->request('OPTIONS', 'sip:' . $v->addr));
	is($v->wait_stat('poison_messages', 1), 1, 'a message that kills two workers is dropped');
	is(restarts($v, 'worker'), 2, 'after two');
	ok($phone->hang_up($phone->call($carrier)), 'then calls go through');
	my $cancel = $phone->request('CANCEL', 'sip:100@' . $v->addr);
	$phone->send($cancel);
	is($v->wait_stat('poison_messages', 2, 10), 2, 'one that was put off (a CANCEL before its INVITE) is dropped, too');
	ok($phone->hang_up($phone->call($carrier)), 'calls go through');
	is($v->stat_of('poison_messages'), 2, 'no other message was dropped');
	like($v->log_text, qr/a message killed \d workers in a row and is dropped/, 'the log has it');
	$v->done_ok;
}

# A timer process that dies on each call that is due.
{
	local $ENV{VELADOR_INJECT} = 'call.due:1';
	my $v = Velador->start(plan_of(carrier => $carrier->addr));
	$phone->{to} = $v->addr;
	my $d = $phone->dialog(user => '100');
	$d->invite;
	my $invite = $carrier->want('INVITE');
	is($v->wait_stat('objects_set_aside', 1), 1, 'a call that is due and kills two timer processes is set aside');
	is(restarts($v, 'timer'), 2, 'the third lives');
	like($v->ctl('check')->{problems}[0] // '', qr/set aside/, 'veladorctl check names it');
	$carrier->reply($invite, 200, contact => 1);
	my $ok = $phone->want(200);
	ok($ok, 'its messages are handled') or $v->tell;
	$d->learn($ok);
	$d->ack;
	ok($carrier->want('ACK'), 'all of them');
	is_deeply($v->ctl('check')->{problems}, [], 'that brings it back');
	$v->stop;
}
done_testing;
