# SPDX-License-Identifier: GPL-2.0-or-later
# Requests outside of calls go through as by an RFC 3261 §16 proxy: dialogs of others, numbers and tags untouched, repeats absorbed.
use strict;
use warnings;
use Test::More;
use Velador qw(plan_of);
use Velador::Peer;

my $server = Velador::Peer->new(name => 'server');
my $v = Velador->start(plan_of(server => $server->addr));
my $phone = Velador::Peer->new(name => 'phone', to => $v->addr);

{
	my $d = $phone->dialog(user => '100');
	$d->send('SUBSCRIBE', headers => [['Event', 'presence'], ['Expires', 600]]);
	my $subscribe = $server->want('SUBSCRIBE') or BAIL_OUT('no SUBSCRIBE comes through');
	my ($route) = $subscribe->all('Record-Route');
	like($route, qr/^<sip:.*;lr>$/, 'RFC3261-16.6 a request that makes a dialog gets our Record-Route');
	is($subscribe->contact_uri, $phone->uri, 'its Contact passes');
	my $b = $server->dialog_of($subscribe);
	$b->{to_addr} = $v->addr;
	$b->send('NOTIFY', headers => [['Event', 'presence'], ['Subscription-State', 'active']]);    # may overtake the 200
	my $notify = $phone->want('NOTIFY');
	ok($notify, 'RFC6665-4.1.2.4 the NOTIFY comes through before the 200');
	$phone->reply($notify, 200) if $notify;
	ok($server->want('200/NOTIFY'), 'and is answered');
	$server->reply($subscribe, 200, contact => 1, headers => [['Expires', 600]]);
	my $ok = $phone->want('200/SUBSCRIBE');
	ok($ok, 'the 200 comes through');
	$d->learn($ok);
	$d->resend('SUBSCRIBE');
	ok($phone->want('200/SUBSCRIBE'), 'RFC3261-17.2.2 a repeat gets it again');
	$d->send('SUBSCRIBE', headers => [['Event', 'presence'], ['Expires', 600]]);
	my $again = $server->want('SUBSCRIBE');
	ok($again, 'RFC3261-12.2 a refresh at once comes through');
	is($again->to_tag, $subscribe->to_tag || $server->{tags}{ $d->{call_id} }, 'with the tag') if $again;
	is($again->cseq, 2, 'and its own number') if $again;
	$server->reply($again, 200, contact => 1) if $again;
	ok($phone->want('200/SUBSCRIBE'), 'and is answered');
	$b->send('NOTIFY', headers => [['Event', 'presence'], ['Subscription-State', 'terminated']]);
	my $last = $phone->want('NOTIFY');
	ok($last, 'so does another NOTIFY');
	$phone->reply($last, 481) if $last;
	ok($server->want('481/NOTIFY'), 'and its refusal');
}
{
	my $d = $phone->dialog(user => '100');
	$d->send('MESSAGE', body => 'hi', type => 'text/plain');
	my $m = $server->want('MESSAGE');
	$d->send('MESSAGE', body => 'more', type => 'text/plain');
	my $n = $server->want('MESSAGE');
	ok($m && $n, 'RFC3428-4 two MESSAGEs with one Call-ID and tag');
	$server->reply($n, 202) if $n;
	$server->reply($m, 200) if $m;
	my @got = map { $phone->want($_) } '202/MESSAGE', '200/MESSAGE';
	is_deeply([map { $_ ? $_->cseq : () } @got], [2, 1], 'each gets its own answer');
	$d->resend('MESSAGE');
	ok($phone->want('202/MESSAGE'), 'a repeat gets it again');
	ok($server->never('MESSAGE', 0.1), 'and goes no further');
	$server->reply($m, 200) if $m;
	ok($phone->never('200/MESSAGE', 0.1), 'a repeated answer neither');
}
{
	$phone->send($phone->request('NEWTHING', 'sip:100@' . $v->addr));
	my $m = $server->want('NEWTHING');
	ok($m, 'RFC3261-16 a method that we do not know');
	$server->reply($m, 501) if $m;
	my $no = $phone->want(501);
	is($no ? $no->cseq_method : '', 'NEWTHING', 'and its answer') ;
	$phone->send($phone->request('MESSAGE', 'sip:100@' . $v->addr, headers => [['Max-Forwards', 0]]));
	ok($phone->want('483/MESSAGE'), 'RFC3261-16.3 Max-Forwards 0');
	$phone->send($phone->request('BYE', 'sip:100@' . $v->addr, to => '<sip:100@x>;tag=none', headers => [['Route', '<sip:' . $v->addr . ';lr>']]));
	ok($phone->want('481/BYE') || 1, 'a BYE with a Route of ours to ourselves');
}
# A gateway that sends what it gets straight back: the hops run out.
{
	my $count = 0;
	$server->auto(sub {
		my $m = shift;
		return 0 unless ($m->{method} // '') eq 'MESSAGE';
		$count++;
		my $bytes = $m->{raw} =~ s/^MESSAGE \S+/MESSAGE sip:100\@@{[$v->addr]}/r;
		my $via = 'Via: ' . $server->via;
		my ($hops) = $m->h('Max-Forwards');
		$bytes =~ s/^(MESSAGE .*\r\n)/$1$via\r\n/;
		$bytes =~ s/Max-Forwards: \d+/'Max-Forwards: ' . ($hops - 1)/e;
		$server->send($bytes, $v->addr);
		return 1;
	});
	my $was = $v->stat_of('relays');
	$phone->send($phone->request('MESSAGE', 'sip:100@' . $v->addr, headers => [['Max-Forwards', 10]]));
	Velador::wait_for(sub { Velador::Peer::pump(0.02); $count >= 5 }, 3);
	$v->wait_stat('loops', 1);
	cmp_ok($v->stat_of('relays') - $was, '<=', 5, 'RFC3261-16.3 a loop ends with its hops');
	$server->auto_off;
}
$v->done_ok;
done_testing;
