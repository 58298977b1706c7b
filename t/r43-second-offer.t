# SPDX-License-Identifier: GPL-2.0-or-later
# A second offer before the first is answered; a caller who hangs up and never sends his ACK.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Endpoint;

my $gw = Velador::Endpoint->new(name => 'gw');
my $v = Velador->start(plan_of(carrier => $gw->addr));
my $phone = Velador::Endpoint->new(name => 'phone', to => $v->addr);

{
	my $call = $phone->talk($gw);
	my $first;
	$gw->on($call, sub { $first //= $_[0]; return 0 });
	$call->{caller}->send('UPDATE', sdp => 1);
	ok(Velador::Endpoint::live(sub { $first }, 3), 'an UPDATE with an offer is open') or die;
	$call->{caller}->invite;
	my $no = $phone->want('500/INVITE', call_id => $call->{call_id});
	ok($no, 'RFC3311-5.2 a re-INVITE with another: 500');
	like($no ? $no->h('Retry-After') : '', qr/^\d+$/, 'with Retry-After');
	$call->{caller}->ack_failure($no) if $no;
	is((grep { $_->{method} eq 'INVITE' } @{ $gw->refreshes($call) }), 0, 'the callee does not see it');
	$gw->on($call, undef);
	$gw->accept_refresh($first, sdp => 1);
	ok($phone->want('200/UPDATE', call_id => $call->{call_id}), 'the first is answered');
	$call->{caller}->invite;
	my $ok = $phone->want('200/INVITE', call_id => $call->{call_id});
	ok($ok, 'and then another may follow');
	$call->{caller}->ack if $ok;
	ok($phone->leave($call), 'clean end');
}
{
	my $d = $phone->dialog;
	$d->invite;
	my $invite = $gw->want('INVITE', call_id => $d->{call_id}) or die;
	$gw->reply($invite, 200, sdp => 1);
	$d->learn($phone->want('200/INVITE', call_id => $d->{call_id}));
	$d->bye;
	ok($phone->want('200/BYE', call_id => $d->{call_id}), 'RFC3261-15 BYE without an ACK is answered');
	is($v->wait_record_of($d->{call_id}, 5)->{reason}, 'normal', 'and the record does not wait for 64*T1');
	$phone->drain;
	ok($phone->never('200/INVITE', 1.2), 'the 200 is repeated no more');
}
$v->done_ok;
done_testing;
